"""Asset watchers: the triggers that make events of assets, and the triggerers that run them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from leoflow.engine import rows
from leoflow.engine.rows import Connection
from leoflow.engine.triggers import ClaimedTrigger
from leoflow.engine.types import ClaimedAttempt


async def claim_watchers(conn: Connection, triggerer_key: int, limit: int) -> list[ClaimedTrigger]:
    """Take up to `limit` triggers of watchers.

    Raises:
        psycopg.Error: SQLSTATE LF410 when the triggerer's lease is lost.
    """
    found = await rows.all_rows(
        conn,
        "select c.trigger_key, c.classpath, c.kwargs, (c.attempt).* from leoflow_core.claim_watchers(%s, %s) as c",
        (triggerer_key, limit),
    )
    return [ClaimedTrigger(row[0], row[1], row[2], ClaimedAttempt(*row[3:]), is_watcher=True) for row in found]


async def release_watchers(conn: Connection, triggerer_key: int, keys: Sequence[int]) -> None:
    """Say that triggers of watchers have stopped: others may run them."""
    await conn.execute("select leoflow_core.release_watchers(%s, %s)", (triggerer_key, list(keys)))


async def record_watcher_event(conn: Connection, trigger_key: int, event_id: UUID, payload: Any) -> int:
    """Record an event once, for each asset its trigger watches for; returns for how many."""
    recorded: int = await rows.value(
        conn, "select leoflow_core.record_watcher_event(%s, %s, %s)", (trigger_key, event_id, Jsonb(payload))
    )
    return recorded


async def fail_watcher(conn: Connection, trigger_key: int, failure: str) -> None:
    """Note why a trigger ended without an event."""
    await conn.execute("select leoflow_core.fail_watcher(%s, %s)", (trigger_key, failure))
