"""Ctrl-C: the first one stops everything in order, at any moment of start-up too; the second one does not wait."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable

FORCED_EXIT_CODE = 130


@contextlib.asynccontextmanager
async def stop_on_signals(told: Callable[[], None], force: Callable[[], None]) -> AsyncIterator[asyncio.Event]:
    """Cancel the surrounding task on the first SIGINT or SIGTERM, force and leave on the second.

    Args:
        told: called once, when the first signal arrives.
        force: ends what must not outlive us, without waiting; then the process ends at once.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    stopping = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            force()
            os._exit(FORCED_EXIT_CODE)
        stopping.set()
        told()
        task.cancel()

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
        for number in numbers:
            loop.remove_signal_handler(number)
