"""Records what the triggers of asset watchers see, and how they fail."""

import asyncio
import contextlib
import random
from typing import Any
from uuid import UUID, uuid4

import psycopg
import structlog

from leoflow import engine
from leoflow.db import Pool, retry_transient
from leoflow.db.retry import is_transient

log = structlog.get_logger(__name__)

_CLOSING_SECONDS = 10.0


class WatcherEvents:
    """Writes events until the database has them, even when who saw them is gone: what they tell of is gone too.

    Args:
        pool: connections.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._writing: set[asyncio.Task[None]] = set()

    async def record(self, trigger_key: int, payload: Any) -> None:
        """Record an event once and return when that is durable.

        Raises:
            ValueError: the database does not take the payload.
        """
        await asyncio.shield(self._start(trigger_key, payload))

    async def failed(self, trigger_key: int, failure: str) -> None:
        """Note why a trigger ended without an event; not worth a second try."""
        with contextlib.suppress(Exception):
            async with self._pool.connection() as connection:
                await engine.fail_watcher(connection, trigger_key, failure.replace("\0", "\N{REPLACEMENT CHARACTER}"))

    async def close(self) -> None:
        """Wait for what is being written, but not for ever."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=_CLOSING_SECONDS)
        for task in self._writing:
            task.cancel()

    def _start(self, trigger_key: int, payload: Any) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._write(trigger_key, uuid4(), payload))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return task

    async def _write(self, trigger_key: int, event_id: UUID, payload: Any) -> None:
        async def call() -> int:
            async with self._pool.connection() as connection:
                return await engine.record_watcher_event(connection, trigger_key, event_id, payload)

        while True:
            try:
                if not await retry_transient(call, attempts=30):
                    log.info("an event of an asset watcher was dropped: nothing watches with it any more")
                return
            except Exception as error:
                if not is_transient(error):
                    reason = f"the database does not take the event: {error}"
                    raise ValueError(reason) from (error if isinstance(error, psycopg.Error) else None)
                log.error("an event of an asset watcher is not recorded yet", error=str(error))
            await asyncio.sleep(random.uniform(0.5, 1.0))
