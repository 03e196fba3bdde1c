"""Run `leoflow.runtime.<module>` under an interpreter in which Leoflow is not installed.

Usage: `<project python> bootstrap.py <module> [args…]`. Only `leoflow.runtime` becomes importable: putting the
package's parent directory on `sys.path` would also expose the control plane's site-packages to user code.
"""

import runpy
import sys
import types
from pathlib import Path


def main() -> None:
    """Install a bare `leoflow` package whose path is this checkout, then run the named runtime module."""
    here = Path(__file__).resolve().parent
    package = types.ModuleType("leoflow")
    package.__path__ = [str(here.parent)]
    sys.modules["leoflow"] = package
    # The script's own directory comes first on sys.path and would shadow the user's module names.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(f"leoflow.runtime.{module}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
