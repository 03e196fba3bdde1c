"""Copies the logs of ended attempts to the object store: at least once, each to one name, with bounded retries.

That a log is to be copied is a row written together with the log; it is deleted when the copy is made. So neither a
crash here nor a store that is away loses one, and tasks never wait for the store.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import structlog

from leoflow.config import LogsSettings
from leoflow.db.queries import load
from leoflow.log_store import LogStore, StoreError, object_name

SQL = load("scheduler")
BATCH = 100
PARALLEL = 4
CHUNKS = 16
_AWAY_AFTER = 5

Connection = psycopg.AsyncConnection[Any]

log = structlog.get_logger(__name__)


async def copy_logs(dsn: str, settings: LogsSettings) -> int:
    """Copy what is due; returns how many logs. Ends early when the store seems to be away.

    Raises:
        LeoflowError: the configured store cannot be used at all.
    """
    if settings.store_url is None:
        return 0
    store = LogStore(settings.store_url)
    copied = 0
    async with await _connect(dsn) as connection:
        while True:
            due = await (await connection.execute(SQL["due_log_copies"], (BATCH,))).fetchall()
            if not due:
                return copied
            done = await _copy_all(dsn, store, due, settings.copy_attempts)
            copied += done
            if done < len(due):
                return copied


async def enable(dsn: str, settings: LogsSettings) -> None:
    """Have logs noted for copying as they are written, or not any more."""
    wanted = int(settings.store_url is not None)
    async with await _connect(dsn) as connection:
        await connection.execute(SQL["set_copy_logs"], (wanted, wanted))


async def _copy_all(dsn: str, store: LogStore, due: list[Any], attempts: int) -> int:
    queue = list(reversed(due))
    done = failed = 0

    async def work() -> None:
        nonlocal done, failed
        async with await _connect(dsn) as connection:
            while queue and failed < _AWAY_AFTER:
                if await _copy(connection, store, queue.pop(), attempts):
                    done += 1
                else:
                    failed += 1

    await asyncio.gather(*(work() for _ in range(min(PARALLEL, len(due)))))
    return done


async def _copy(connection: Connection, store: LogStore, row: Any, attempts: int) -> bool:
    *key, revision, dag_id, run_id, task_id = row
    if dag_id is not None:
        name = object_name(dag_id, run_id, task_id, key[2], key[3])
        try:
            await store.write(name, _chunks(connection, key))
        except StoreError as error:
            cursor = await connection.execute(SQL["log_not_copied"], (*key, str(error), attempts))
            given_up = await cursor.fetchone()
            log.log(
                40 if given_up and given_up[0] else 30,
                "log not copied, giving up" if given_up and given_up[0] else "log not copied, trying again later",
                object=name,
                error=str(error),
            )
            return False
    await connection.execute(SQL["log_copied"], (*key, revision))
    return True


async def _chunks(connection: Connection, key: list[int]) -> AsyncIterator[bytes]:
    after = 0
    while True:
        rows = await (await connection.execute(SQL["log_chunks"], (*key, after, CHUNKS))).fetchall()
        for _, lines in rows:
            yield lines.encode()
        if len(rows) < CHUNKS:
            return
        after = rows[-1][0]


async def _connect(dsn: str) -> Connection:
    return await psycopg.AsyncConnection.connect(dsn, autocommit=True, application_name="leoflow-log-copies")
