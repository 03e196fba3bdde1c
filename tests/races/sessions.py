"""Two real sessions that meet at a lock: one holds it in an open transaction, the other is watched until it waits."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
T = TypeVar("T")

_WAITS = "select cardinality(pg_blocking_pids(%s)) > 0"


async def waits(observer: Connection, session: Connection, task: "asyncio.Future[Any]") -> bool:
    """True once `session` waits for another session's lock, False when its task ends without having waited."""
    while not task.done():
        cursor = await observer.execute(_WAITS, (session.info.backend_pid,))
        row = await cursor.fetchone()
        if row and row[0]:
            return True
        await asyncio.sleep(0)
    return False


async def blocked(observer: Connection, session: Connection, call: Awaitable[T]) -> "asyncio.Future[T]":
    """Start `call` on `session` and return when it waits for a lock; fails if it never does."""
    task = asyncio.ensure_future(call)
    assert await waits(observer, session, task), "it did not wait"
    return task
