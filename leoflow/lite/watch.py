"""Says which files below a path changed, as soon as they did."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
from watchfiles import Change, awatch

IGNORED_DIRECTORIES = frozenset({"__pycache__", "venv", "node_modules"})
IGNORED_SUFFIXES = (".pyc", ".swp", ".swx", "~", ".dag.json")
SETTLE_MILLISECONDS = 60
LONGEST_BURST_MILLISECONDS = 400
POLL_MILLISECONDS = 700

log = structlog.get_logger(__name__)


async def changes(path: Path) -> AsyncIterator[frozenset[Path]]:
    """Yield sets of changed paths, forever; a burst of saves arrives as one set.

    Falls back to looking at every file now and then where the system cannot watch (limits reached, some network disks).
    """
    top = path if path.is_dir() else path.parent

    def relevant(_change: Change, changed: str) -> bool:
        return is_relevant(changed, top)

    polling = False
    while True:
        try:
            watcher = awatch(
                top,
                watch_filter=relevant,
                step=SETTLE_MILLISECONDS,
                debounce=LONGEST_BURST_MILLISECONDS,
                rust_timeout=10_000,
                yield_on_timeout=False,
                force_polling=polling or None,
                poll_delay_ms=POLL_MILLISECONDS,
                recursive=True,
            )
            async for batch in watcher:
                yield frozenset(Path(changed) for _, changed in batch)
            return
        except (OSError, RuntimeError) as error:
            if polling or not top.is_dir():
                raise
            log.warning("the system cannot watch this directory, looking at it regularly instead", error=str(error))
            polling = True


def is_relevant(changed: str, top: Path) -> bool:
    """Whether a path below `top` may belong to a project: not hidden, no cache, no editor's left-overs."""
    if changed.endswith(IGNORED_SUFFIXES):
        return False
    parts = Path(os.path.relpath(changed, top)).parts
    return not any((part.startswith(".") and part not in (".", "..")) or part in IGNORED_DIRECTORIES for part in parts)
