"""Retries what the database asked to be retried."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from psycopg_pool import PoolTimeout

T = TypeVar("T")

_RETRYABLE = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
    "53300",  # too_many_connections
}


def is_transient(error: BaseException) -> bool:
    """True when the same call may succeed on a new transaction or connection."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate in _RETRYABLE or error.sqlstate.startswith("08")


async def retry_transient(
    operation: Callable[[], Awaitable[T]], *, attempts: int = 6, first_delay: float = 0.02, max_delay: float = 2.0
) -> T:
    """Await `operation()` again, with growing jittered pauses, while it fails for transient reasons.

    The operation must take its own connection from the pool each time, and must be safe to repeat: after a lost
    connection nobody knows whether the commit happened.

    Args:
        operation: what to do; called once per attempt.
        attempts: how often at most; the last error is raised.
        first_delay: seconds before the second attempt.
        max_delay: seconds no pause exceeds.
    """
    delay = first_delay
    for attempt in range(1, attempts + 1):
        try:
            return await operation()
        except Exception as error:
            if attempt == attempts or not is_transient(error):
                raise
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))
        delay = min(delay * 3, max_delay)
    raise AssertionError("unreachable")
