"""What operators do: clear, mark, set a run's state, cancel, delete. Each is audited with `user`."""

import json
from collections.abc import Sequence
from datetime import datetime

from leoflow.engine import rows
from leoflow.engine.rows import Connection
from leoflow.engine.types import InstanceRef

TaskSelector = str | tuple[str, int]


def _tasks(tasks: Sequence[TaskSelector] | None) -> str | None:
    return None if tasks is None else json.dumps([list(t) if isinstance(t, tuple) else t for t in tasks])


async def clear_tasks(
    conn: Connection,
    dag_id: str,
    run_id: str | None = None,
    tasks: Sequence[TaskSelector] | None = None,
    *,
    upstream: bool = False,
    downstream: bool = False,
    past: bool = False,
    future: bool = False,
    only_failed: bool = False,
    only_running: bool = False,
    dry_run: bool = False,
    reset_runs: bool = True,
    prevent_running: bool = False,
    user: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[InstanceRef]:
    """Clear instances so that they run again; returns those concerned. Call `wake_workers` afterwards.

    Args:
        conn: autocommit connection.
        dag_id: the DAG.
        run_id: None means every run with a logical date in `start` … `end`.
        tasks: task ids or (task id, map index); None for all.
        upstream: with everything before them.
        downstream: with everything after them.
        past: also in runs with earlier logical dates.
        future: also in runs with later logical dates.
        only_failed: only failed and upstream_failed instances.
        only_running: only running ones.
        dry_run: change nothing.
        reset_runs: finished runs start again.
        prevent_running: refuse (LF409) when one of them runs.
        user: who does it.
        start: first logical date when `run_id` is None.
        end: last logical date when `run_id` is None.

    Raises:
        psycopg.Error: SQLSTATE LF404 unknown, LF409 refused.
    """
    found = await rows.all_rows(
        conn,
        "select * from leoflow.clear_tasks(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            dag_id,
            run_id,
            _tasks(tasks),
            upstream,
            downstream,
            past,
            future,
            only_failed,
            only_running,
            dry_run,
            reset_runs,
            prevent_running,
            user,
            start,
            end,
        ),
    )
    return [InstanceRef(*row) for row in found]


async def mark_tasks(
    conn: Connection,
    dag_id: str,
    run_id: str,
    tasks: Sequence[TaskSelector] | None,
    state: str,
    *,
    upstream: bool = False,
    downstream: bool = False,
    past: bool = False,
    future: bool = False,
    dry_run: bool = False,
    user: str | None = None,
) -> list[InstanceRef]:
    """Set instances to success, failed or skipped; returns those concerned. Call `wake_workers` afterwards.

    Raises:
        psycopg.Error: SQLSTATE LF404 unknown, LF422 another state.
    """
    found = await rows.all_rows(
        conn,
        "select * from leoflow.mark_tasks(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (dag_id, run_id, _tasks(tasks), state, upstream, downstream, past, future, dry_run, user),
    )
    return [InstanceRef(*row) for row in found]


async def set_run_state(
    conn: Connection, dag_id: str, run_id: str, state: str, *, dry_run: bool = False, user: str | None = None
) -> list[InstanceRef]:
    """Set a run to success, failed or queued; returns the instances concerned.

    Raises:
        psycopg.Error: SQLSTATE LF404 unknown, LF422 another state.
    """
    found = await rows.all_rows(
        conn, "select * from leoflow.set_run_state(%s, %s, %s, %s, %s)", (dag_id, run_id, state, dry_run, user)
    )
    return [InstanceRef(*row) for row in found]


async def cancel_run(conn: Connection, dag_id: str, run_id: str, *, user: str | None = None) -> None:
    """Fail a run now; running attempts are told to stop, the rest is skipped."""
    await conn.execute("select leoflow.cancel_run(%s, %s, %s)", (dag_id, run_id, user))


async def delete_run(conn: Connection, dag_id: str, run_id: str, *, user: str | None = None) -> None:
    """Delete a run with everything it left."""
    await conn.execute("select leoflow.delete_run(%s, %s, %s)", (dag_id, run_id, user))


async def delete_dag(conn: Connection, dag_id: str, *, user: str | None = None) -> None:
    """Delete a DAG with its versions and runs.

    Raises:
        psycopg.Error: SQLSTATE LF404 unknown, LF409 while an attempt runs.
    """
    await conn.execute("select leoflow.delete_dag(%s, %s)", (dag_id, user))
