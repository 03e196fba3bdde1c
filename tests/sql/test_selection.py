"""What clearing and marking select, against what Airflow 3.2.2 itself selects (tests/truth/selections.json)."""

import json
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from leoflow import engine
from tests.sql.dags import dag, literal, mapped_group, over, task

pytestmark = pytest.mark.anyio

Connection = AsyncConnection[Any]
TRUTH = json.loads((Path(__file__).parents[1] / "truth" / "selections.json").read_text())
DATES = {"one": "2026-01-01", "two": "2026-01-02"}
DAILY = {"type": "cron", "expression": "0 0 * * *", "timezone": "UTC"}
LISTED = (
    "select r.run_id || '.' || k.task_id || '[' || t.map_index || ']' from {} as i"
    " join leoflow_core.task_instance t using (run_key, task_idx, map_index)"
    " join leoflow_core.dag_run r using (run_key)"
    " join leoflow_core.task k on k.version_key = t.version_key and k.task_idx = t.task_idx order by 1"
)
CLEAR = LISTED.format(
    "leoflow.clear_tasks(p_dag_id => %s, p_run_id => %s, p_tasks => %s::jsonb, p_upstream => %s, p_downstream => %s,"
    " p_past => %s, p_future => %s, p_dry_run => %s)"
)
MARK = LISTED.format(
    "leoflow.mark_tasks(p_dag_id => %s, p_run_id => %s, p_tasks => %s::jsonb, p_upstream => %s, p_downstream => %s,"
    " p_past => %s, p_future => %s, p_dry_run => %s, p_state => 'success')"
)


def spec(dag_id: str) -> dict[str, Any]:
    """The DAG as Airflow described it."""
    shape = TRUTH["shapes"][dag_id]
    above = {name: [up for up, one in shape["tasks"].items() if name in one["downstream"]] for name in shape["tasks"]}
    tasks = [
        task(
            name,
            *above[name],
            group_id=one["group"],
            is_setup=one["is_setup"],
            is_teardown=one["is_teardown"],
            **({"mapping": over(literal(one["length"]))} if one["is_mapped"] else {}),
        )
        for name, one in shape["tasks"].items()
    ]
    groups = [
        mapped_group(name, literal(one["length"]), parent_group_id=one["parent"])
        if one["length"]
        else {"group_id": name, "parent_group_id": one["parent"]}
        for name, one in shape["groups"].items()
    ]
    return dag(dag_id, tasks, task_groups=groups, schedule=DAILY)


async def failed_runs(conn: Connection, dag_id: str) -> None:
    """Two runs in which everything has failed."""
    await engine.register_version(conn, spec(dag_id))
    for run_id, date in DATES.items():
        await conn.execute(
            "select from leoflow_core.create_run(%s, %s, 'scheduled', %s::timestamptz)", (dag_id, run_id, date)
        )
    await conn.execute("update leoflow_core.dag_run set state = 'failed'")
    await conn.execute(
        "update leoflow_core.task_instance set state = 'failed', try_number = 1, ready_key = null, gate_key = null"
    )
    await conn.execute("select leoflow_core.recount_run(run_key) from leoflow_core.dag_run")


async def states(conn: Connection) -> dict[str, str]:
    cursor = await conn.execute(
        "select dag_run_id || '.' || task_id || '[' || map_index || ']', state::text from leoflow.task_instances"
    )
    return dict(await cursor.fetchall())


async def ask(conn: Connection, dag_id: str, request: list[Any], *, dry: bool) -> list[str]:
    _, path, body = request
    run_id, tasks, statement = body.get("dag_run_id"), body.get("task_ids"), CLEAR
    if path.startswith("dagRuns"):
        _, run_id, _, name, *rest = path.removesuffix("/dry_run").split("/")
        tasks, statement = [[name, int(rest[0])] if rest else name], MARK
    scope = [body.get(f"include_{what}", False) for what in ("upstream", "downstream", "past", "future")]
    cursor = await conn.execute(statement, (dag_id, run_id, json.dumps(tasks), *scope, dry))
    return sorted(name for (name,) in await cursor.fetchall())


@pytest.mark.parametrize("dag_id", sorted(TRUTH["shapes"]))
async def test_every_selection_is_airflows(connection: Connection, dag_id: str) -> None:
    await failed_runs(connection, dag_id)
    before = await states(connection)
    wrong = []
    for _, request, status, expected in (row for row in TRUTH["rows"] if row[0] == dag_id):
        if status == 500:  # where Airflow itself fails, changing a set while it walks it
            await ask(connection, dag_id, request, dry=True)
            continue
        assert status == 200, request
        if isinstance(expected, list):
            found: Any = await ask(connection, dag_id, request, dry=True)
        else:
            async with connection.transaction(force_rollback=True):
                promised = await ask(connection, dag_id, request, dry=True)
                assert await ask(connection, dag_id, request, dry=False) == promised
                after = await states(connection)
            found = {name: after[name] for name in before if after[name] != before[name]}
        if found != expected:
            wrong.append((request, {"airflow": expected, "ours": found}))
    assert wrong == [], f"{len(wrong)} requests differ; the first: {wrong[:3]}"
