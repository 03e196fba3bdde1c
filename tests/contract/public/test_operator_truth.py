"""Clearing, marking and setting states, against what Airflow 3.2.2 itself did (tests/truth/operator_actions.json)."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from leoflow.db.pool import Pool
from tests.contract.public.stage import Stage, spec, task

pytestmark = pytest.mark.anyio
TRUTH = json.loads((Path(__file__).parents[2] / "truth" / "operator_actions.json").read_text())
RUNS, TASKS, ROWS = TRUTH["runs"], TRUTH["tasks"], TRUTH["rows"]
DAILY = {"type": "cron", "expression": "0 0 * * *", "timezone": "UTC"}
# A running run that is set to queued starts again at once here; Airflow puts it into the queue.
DIFFERENT = [["PATCH", "dagRuns/three", {"state": "queued"}]]
FINAL = ("success", "failed", "skipped", "upstream_failed", "removed")
# What our engine decides in the same transaction, and Airflow's scheduler later.
DECIDED = (None, "scheduled", "upstream_failed", "skipped")

SAVE = """
create table public.saved_run as table leoflow_core.dag_run;
create table public.saved_instance as table leoflow_core.task_instance;
"""
RESTORE = """
delete from leoflow_core.dag_run;
delete from leoflow_core.task_instance;
delete from leoflow_core.gate_token;
delete from leoflow_core.task_attempt_history;
insert into leoflow_core.dag_run select * from public.saved_run;
insert into leoflow_core.task_instance select * from public.saved_instance;
"""


@pytest.fixture
async def truth(stage: Stage, pool: Pool) -> Stage:
    """The five runs in their states; the DAG is paused, so that nothing starts by itself."""
    tasks = [task("extract"), task("transform", "extract"), task("load", "transform"), task("audit", "extract")]
    await stage.register(spec("truth", [{**one, "retries": 2} for one in tasks], schedule=DAILY))
    await stage.one("select leoflow.set_paused('truth', true)")
    for run_id, (run_type, date, state, states) in RUNS.items():
        key = await stage.one(
            "select run_key from leoflow_core.create_run('truth', %s, %s, %s::timestamptz)", run_id, run_type, date
        )
        await stage.one(
            "update leoflow_core.task_instance as t set state = s.state::leoflow.task_instance_state,"
            " try_number = coalesce(s.state in ('success', 'failed', 'running', 'skipped'), false)::int,"
            " attempt_id = case when s.state = 'running' then leoflow_core.uuid7() end"
            " from unnest(%s::text[], %s::text[]) as s(task_id, state)"
            " join leoflow_core.task as k on k.task_id = s.task_id"
            " where t.run_key = %s and k.version_key = t.version_key and k.task_idx = t.task_idx",
            list(TASKS),
            list(states),
            key,
        )
        await stage.one("select leoflow_core.recount_run(%s)", key)
        await stage.one(
            "update leoflow_core.dag_run set state = %s::leoflow.dag_run_state where run_key = %s", state, key
        )
    async with pool.connection() as conn:
        await conn.execute(SAVE)
    return stage


async def snapshot(pool: Pool) -> dict[str, Any]:
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "select dag_run_id, null, state::text, clear_number from leoflow.dag_runs"
            " union all select dag_run_id, task_id, state::text, max_tries from leoflow.task_instances"
        )
        rows = await cursor.fetchall()
    return {(f"{run}.{name}" if name else run): [state, number] for run, name, state, number in rows}


def agrees(key: str, theirs: Any, ours: Any, now: dict[str, Any]) -> bool:
    if theirs == ours:
        return True
    if theirs is None or ours is None or theirs[1] != ours[1]:
        return False
    run, _, name = key.partition(".")
    if name:
        return theirs[0] is None and now[run][0] != "queued" and ours[0] in DECIDED
    over = all(now[f"{run}.{one}"][0] in FINAL for one in TASKS)
    return theirs[0] == "running" and over and ours[0] in ("success", "failed")


async def test_every_request_does_what_it_does_in_airflow(truth: Stage, pool: Pool, client: httpx.AsyncClient) -> None:
    before = await snapshot(pool)
    wrong: list[Any] = []
    for row in ROWS:
        if row["request"] in DIFFERENT:
            continue
        method, path, body = row["request"]
        async with pool.connection() as conn:
            await conn.execute(RESTORE)
        if method == "POST":
            dry = await client.post(f"/dags/truth/{path}", json={**body, "dry_run": True})
            if await snapshot(pool) != before:
                wrong.append((row["request"], "the dry run changed something"))
        answer = await client.request(method, f"/dags/truth/{path}", **({"json": body} if body else {}))
        after = await snapshot(pool)
        expected = {**before, **row["changed"]}
        differs = {
            key: {"airflow": expected[key], "ours": after.get(key)}
            for key in expected
            if not agrees(key, expected[key], after.get(key), after)
        }
        if answer.status_code != row["status"]:
            differs["status"] = {"airflow": row["status"], "ours": answer.status_code}
        if path == "clearTaskInstances" and answer.status_code == 200:
            for name, found in (("listed", answer), ("dry run", dry)):
                listed = sorted([one["dag_run_id"], one["task_id"]] for one in found.json()["task_instances"])
                if listed != row["listed"]:
                    differs[name] = {"airflow": row["listed"], "ours": listed}
        if differs:
            wrong.append((row["request"], differs))
    assert wrong == [], f"{len(wrong)} of {len(ROWS)} requests differ; the first: {wrong[:5]}"
