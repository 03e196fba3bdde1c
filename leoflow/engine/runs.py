"""Runs: creating them and what operators do with them."""

from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from leoflow.engine import rows
from leoflow.engine.rows import Connection
from leoflow.engine.types import CreatedRun


async def create_run(
    conn: Connection,
    dag_id: str,
    *,
    run_id: str | None = None,
    run_type: str = "manual",
    logical_date: datetime | None = None,
    data_interval_start: datetime | None = None,
    data_interval_end: datetime | None = None,
    run_after: datetime | None = None,
    conf: dict[str, Any] | None = None,
    triggered_by: str | None = None,
    user: str | None = None,
    note: str | None = None,
    version_key: int | None = None,
    partition_key: str | None = None,
) -> CreatedRun:
    """Create a run; call `wake_workers` after the commit.

    Raises:
        psycopg.Error: SQLSTATE LF404 unknown DAG, LF409 run id or logical date taken, LF422 invalid.
    """
    row = await rows.one(
        conn,
        "select * from leoflow_core.create_run(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            dag_id,
            run_id,
            run_type,
            logical_date,
            data_interval_start,
            data_interval_end,
            run_after,
            None if conf is None else Jsonb(conf),
            triggered_by,
            user,
            note,
            version_key,
            partition_key,
        ),
    )
    return CreatedRun(*row)


async def set_paused(conn: Connection, dag_id: str, is_paused: bool, *, user: str | None = None) -> None:
    """Pause or unpause a DAG; call `wake_workers` after unpausing.

    Raises:
        psycopg.Error: SQLSTATE LF404 unknown DAG.
    """
    await conn.execute("select leoflow.set_paused(%s, %s, %s)", (dag_id, is_paused, user))
