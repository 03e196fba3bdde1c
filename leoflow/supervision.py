"""Keeps the long-running parts of a process running: restarted with back-off when they end, stopped together."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from leoflow.db.retry import is_transient
from leoflow.errors import LeoflowError

log = structlog.get_logger(__name__)

Part = Callable[[], Awaitable[None]]
"""Starts a part and returns when it ends, which it should only do when cancelled."""


class Backoff:
    """Growing, jittered pauses; back to the first one after a good spell."""

    def __init__(self, first: float = 0.2, limit: float = 30.0, good_after: float = 60.0) -> None:
        self._first, self._limit, self._good_after = first, limit, good_after
        self._next = first
        self._last = 0.0

    def pause(self) -> float:
        """Seconds to wait after a failure now."""
        now = time.monotonic()
        if now - self._last > self._good_after:
            self._next = self._first
        self._last = now
        pause, self._next = self._next, min(self._next * 2, self._limit)
        return pause * random.uniform(0.7, 1.0)

    def reset(self) -> None:
        """Something worked: the next failure waits the first pause again."""
        self._next = self._first


async def keep_running(name: str, part: Part, backoff: Backoff | None = None) -> None:
    """Run `part` again and again until cancelled; whatever it raises is logged, never passed on."""
    pauses = backoff or Backoff()
    while True:
        try:
            await part()
            log.warning("a part of this process ended by itself", part=name)
        except Exception as error:
            log_failure(name, error)
        await asyncio.sleep(pauses.pause())


def log_failure(name: str, error: Exception) -> None:
    """One line for a fault that passes by itself (the database is away), a traceback for every other."""
    if isinstance(error, LeoflowError):
        log.error(str(error), part=name, hint=error.hint)
    elif is_transient(error):
        log.warning("waiting for the database", part=name, error=str(error).strip())
    else:
        log.error("a part of this process failed and is restarted", part=name, exc_info=error)


@contextlib.asynccontextmanager
async def running(parts: dict[str, Part]) -> AsyncIterator[None]:
    """Keep `parts` running while the block runs; on leaving, all are cancelled and awaited."""
    tasks = [asyncio.create_task(keep_running(name, part), name=name) for name, part in parts.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
