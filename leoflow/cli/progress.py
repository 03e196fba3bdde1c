"""Progress of long work, on stderr."""

import contextlib
import sys
import time
from collections.abc import Iterator

from leoflow.environments.uv import Progress


@contextlib.contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A spinner with the latest step on a terminal, one line per step elsewhere; yields what to tell steps to."""
    started = time.monotonic()
    if not sys.stderr.isatty():
        print(f"{title} …", file=sys.stderr, flush=True)
        yield lambda line: print(f"  {line}", file=sys.stderr, flush=True)
        print(f"{title}: done in {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(title) as status:

        def tell(line: str) -> None:
            status.update(f"{title}: [dim]{line.replace('[', chr(92) + '[')}[/dim]")

        yield tell
    console.print(f"[green]✓[/green] {title} [dim]{time.monotonic() - started:.1f} s[/dim]")
