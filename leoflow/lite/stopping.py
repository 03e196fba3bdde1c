"""Ctrl-C: the first one stops everything in order, at any moment of start-up too; the second one does not wait."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable

import structlog

log = structlog.get_logger(__name__)

FORCED_EXIT_CODE = 130


@contextlib.asynccontextmanager
async def stop_on_signals(
    told: Callable[[], None], force: Callable[[], None], *, give_up_seconds: float = 75.0
) -> AsyncIterator[asyncio.Event]:
    """Cancel the surrounding task on the first SIGINT or SIGTERM, force and leave on the second.

    Args:
        told: called once, when the first signal arrives.
        force: ends what must not outlive us, without waiting; then the process ends at once.
        give_up_seconds: how long stopping may take; after that the first signal ends like a second one.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    stopping = asyncio.Event()
    timers: list[asyncio.TimerHandle] = []

    def on_signal() -> None:
        if stopping.is_set():
            force()
            os._exit(FORCED_EXIT_CODE)
        stopping.set()
        told()
        task.cancel()
        timers.append(loop.call_later(give_up_seconds, give_up))

    def give_up() -> None:
        # Whatever hangs, one Ctrl-C is enough: Postgres and the workers' leases recover at the next start.
        log.warning("stopping took too long, what was left is ended by force", seconds=give_up_seconds)
        force()
        os._exit(0)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stopping
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
        task.uncancel()
    finally:
        for timer in timers:
            timer.cancel()
        for number in numbers:
            loop.remove_signal_handler(number)
