"""Small specs and a small worker for tests of the state machine."""

import os
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from psycopg import AsyncConnection

from leoflow import engine
from leoflow.engine import ClaimedAttempt, CreatedRun, Outcome, XComValue

Connection = AsyncConnection[Any]


def task(task_id: str, *upstreams: str, **fields: Any) -> dict[str, Any]:
    return {"task_id": task_id, "depends_on": sorted(upstreams), **fields}


def dag(dag_id: str, tasks: Iterable[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "dag_id": dag_id,
        "tasks": sorted(tasks, key=lambda one: one["task_id"]),
        "is_paused_upon_creation": False,
        **fields,
    }


def chain(dag_id: str, *task_ids: str, **fields: Any) -> dict[str, Any]:
    return dag(
        dag_id,
        [task(one, *before) for one, before in zip(task_ids, [[], *([t] for t in task_ids)], strict=False)],
        **fields,
    )


async def unlimited(conn: Connection) -> None:
    """Tests that are not about pools do without one."""
    await conn.execute("update leoflow_core.pool set slots = -1")


async def new_worker(conn: Connection, slots: int = 100) -> int:
    return await engine.register_worker(conn, hostname="test", pid=os.getpid(), slots=slots)


async def run_of(conn: Connection, spec: dict[str, Any], **fields: Any) -> CreatedRun:
    """Register a DAG and create a run of it."""
    await engine.register_version(conn, spec)
    return await engine.create_run(conn, spec["dag_id"], run_id=fields.pop("run_id", str(uuid4())), **fields)


async def states(conn: Connection, run: CreatedRun) -> dict[str, str | None]:
    cursor = await conn.execute(
        "select task_id, state from leoflow.task_instances where run_key = %s order by position", (run.run_key,)
    )
    return dict(await cursor.fetchall())


async def run_state(conn: Connection, run: CreatedRun) -> str:
    cursor = await conn.execute("select state from leoflow_core.dag_run where run_key = %s", (run.run_key,))
    row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


async def scalar(conn: Connection, query: str, *params: Any) -> Any:
    cursor = await conn.execute(query, params)
    row = await cursor.fetchone()
    assert row is not None
    return row[0]


def outcome(attempt: ClaimedAttempt, state: str = "success", **fields: Any) -> Outcome:
    xcoms = (XComValue("return_value", b'"%s"' % attempt.task_id.encode()),) if state == "success" else ()
    return Outcome(attempt.ref, state, xcoms=fields.pop("xcoms", xcoms), **fields)


async def drain(
    conn: Connection,
    worker: int,
    ends: Mapping[str, str] | None = None,
    *,
    batch: int = 100,
    handoff: int = 0,
) -> list[str]:
    """Run everything that is claimable; `ends` says how tasks end, success otherwise. Returns the order of starts."""
    order: list[str] = []
    while claimed := await engine.claim(conn, worker, batch):
        while claimed:
            order += [one.task_id for one in claimed]
            result = await engine.finish(
                conn,
                worker,
                [outcome(one, (ends or {}).get(one.task_id, "success")) for one in claimed],
                handoff=handoff,
            )
            assert not result.stale
            claimed = result.handed
    return order
