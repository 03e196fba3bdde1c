"""`python -m benchmarks NAME…`: run benchmarks by name (`b01`, `b02`, …); without a name, list them."""

import argparse
import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

import benchmarks
from benchmarks.harness import Options, show


def available() -> dict[str, str]:
    """Short name (`b01`) to module name (`b01_hop_latency`)."""
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name[:1] == "b" and m.name[1:3].isdigit()]
    return {name[:3]: name for name in sorted(names)}


def main() -> int:
    """Parse the command line and run each named benchmark in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="b01, b02, … (B1 and b1 work too)")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--peer", action="store_true", help="measure the peer in the same run")
    parser.add_argument("--scratch", type=Path, help="kept scratch directory (peers are installed there once)")
    arguments = parser.parse_args()
    known = available()
    if not arguments.names:
        for short, module in known.items():
            title = importlib.import_module(f"benchmarks.{module}").TITLE
            print(f"{short}  {title}", file=sys.stderr)
        return 0
    for name in arguments.names:
        number = name.lower().lstrip("b")
        short = f"b{int(number):02d}" if number.isdigit() else ""
        if short not in known:
            print(f"error: no such benchmark: {name}\nhint: one of {', '.join(known)}", file=sys.stderr)
            return 2
        module = importlib.import_module(f"benchmarks.{known[short]}")
        with tempfile.TemporaryDirectory(prefix="leoflow-bench-") as temporary:
            scratch = arguments.scratch or Path(temporary)
            scratch.mkdir(parents=True, exist_ok=True)
            show(module.run(Options(arguments.repeat, arguments.peer, scratch.resolve())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
