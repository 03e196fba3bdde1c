"""Small specs and a small worker for tests of the state machine."""

import os
from collections.abc import Iterable, Mapping
from math import prod
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


def literal(length: int) -> dict[str, Any]:
    """An input of a map: a list written in the DAG file."""
    return {"type": "literal", "length": length}


def result(task_id: str) -> dict[str, Any]:
    """An input of a map: what a task returned."""
    return {"type": "xcom", "task_id": task_id, "key": "return_value"}


def over(*inputs: dict[str, Any]) -> dict[str, Any]:
    """The mapping of a task or a group."""
    lengths = [one["length"] for one in inputs if "length" in one]
    return {
        "kind": "expand",
        "inputs": list(inputs),
        "length": prod(lengths) if len(lengths) == len(inputs) else None,
    }


def mapped_group(group_id: str, *inputs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"group_id": group_id, "is_mapped": True, "mapping": over(*inputs), **fields}


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


async def instances(conn: Connection, run: CreatedRun) -> dict[str, str | None]:
    """States by `task` or `task[map_index]`."""
    cursor = await conn.execute(
        "select task_id || case when map_index >= 0 then '[' || map_index || ']' else '' end, state"
        " from leoflow.task_instances where run_key = %s order by position, map_index",
        (run.run_key,),
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


def returned(attempt: ClaimedAttempt, length: int) -> Outcome:
    """The success of a task that returned a list of this length."""
    return Outcome(attempt.ref, "success", xcoms=(XComValue("return_value", b"[]", length),))


def name_of(attempt: ClaimedAttempt) -> str:
    return attempt.task_id if attempt.map_index < 0 else f"{attempt.task_id}[{attempt.map_index}]"


def _end(attempt: ClaimedAttempt, ends: Mapping[str, str | int]) -> Outcome:
    end = ends.get(name_of(attempt), ends.get(attempt.task_id, "success"))
    return returned(attempt, end) if isinstance(end, int) else outcome(attempt, end)


async def drain(
    conn: Connection,
    worker: int,
    ends: Mapping[str, str | int] | None = None,
    *,
    batch: int = 100,
    handoff: int = 0,
) -> list[str]:
    """Run everything that is claimable. Returns the order of starts.

    `ends` says how tasks or single instances (`t[2]`) end, success otherwise; a number is the length of the list they
    return.
    """
    order: list[str] = []
    while claimed := await engine.claim(conn, worker, batch):
        while claimed:
            order += [name_of(one) for one in claimed]
            result = await engine.finish(conn, worker, [_end(one, ends or {}) for one in claimed], handoff=handoff)
            assert not result.stale
            claimed = result.handed
    return order
