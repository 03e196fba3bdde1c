"""B7: expansion of maps over 10,000 values and over 100 x 100, in the transaction that ends the last upstream."""

import asyncio
import time
from typing import Any

from benchmarks.harness import Options, Report
from leoflow import engine
from leoflow.db import migrate
from leoflow.db.embedded import EmbeddedPostgres
from leoflow.db.pool import connect
from leoflow.engine import Outcome, XComValue

TITLE = "B7 expansion"
BOUND = "one insert per instance into a table with three partial indexes; the client waits for one finish call"


def run(options: Options) -> Report:
    """Measure on a server of its own."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Report:
    report = Report(TITLE, BOUND)
    one, cross, group = [], [], []
    server = EmbeddedPostgres(options.scratch / "b07")
    dsn = await server.start()
    try:
        await migrate.upgrade(dsn)
        for number in range(options.repeat):
            one.append(await _expansion(dsn, f"one{number}", {"a": 10_000}))
            cross.append(await _expansion(dsn, f"cross{number}", {"a": 100, "b": 100}))
            group.append(await _expansion(dsn, f"group{number}", {"a": 10_000}, grouped=True))
    finally:
        await server.stop()
    report.add("map over 10,000", "ms", one, "≤ 300")
    report.add("map over 100 x 100", "ms", cross, "≤ 300")
    report.add("mapped group of two tasks over 10,000", "ms", group)
    return report


async def _expansion(dsn: str, dag_id: str, lengths: dict[str, int], *, grouped: bool = False) -> float:
    """Milliseconds of the finish call that ends the last upstream and expands the map."""
    async with await connect(dsn) as conn:
        worker = await engine.register_worker(conn, hostname="benchmark", pid=0, slots=10)
        await engine.register_version(conn, _spec(dag_id, list(lengths), grouped))
        run = await engine.create_run(conn, dag_id)
        ends = [
            Outcome(each.ref, "success", xcoms=(XComValue("return_value", b"[]", lengths[each.task_id]),))
            for each in await engine.claim(conn, worker, 10)
        ]
        started = time.perf_counter()
        await engine.finish(conn, worker, ends)
        took = (time.perf_counter() - started) * 1000
        cursor = await conn.execute(
            "select count(*) from leoflow_core.task_instance where run_key = %s and map_index >= 0", (run.run_key,)
        )
        row = await cursor.fetchone()
        assert row is not None and row[0] >= 10_000, "the map expanded"
        await engine.cancel_run(conn, dag_id, run.run_id)
    return took


def _spec(dag_id: str, upstreams: list[str], grouped: bool) -> dict[str, Any]:
    inputs = [{"type": "xcom", "task_id": each, "key": "return_value"} for each in upstreams]
    mapping = {"kind": "expand", "inputs": inputs, "length": None}
    tasks: list[dict[str, Any]] = [{"task_id": each, "depends_on": []} for each in upstreams]
    groups: list[dict[str, Any]] = []
    if grouped:
        groups = [{"group_id": "g", "is_mapped": True, "mapping": mapping}]
        tasks += [
            {"task_id": "g.x", "depends_on": upstreams, "group_id": "g"},
            {"task_id": "g.y", "depends_on": ["g.x"], "group_id": "g"},
            {"task_id": "z", "depends_on": ["g.y"]},
        ]
    else:
        tasks += [
            {"task_id": "x", "depends_on": upstreams, "mapping": mapping},
            {"task_id": "z", "depends_on": ["x"]},
        ]
    return {"dag_id": dag_id, "tasks": tasks, "task_groups": groups, "is_paused_upon_creation": False}
