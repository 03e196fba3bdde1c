"""Runs by hand get the interval and the id that their timetable gives them under Airflow 3.2.2 (tests/truth)."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from leoflow import engine
from leoflow.db.pool import Pool
from leoflow.execution import manual_runs
from tests.contract.public.stage import Stage, spec, task

pytestmark = pytest.mark.anyio

TRUTH: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "truth" / "manual_runs.json").read_text())
RUN_AFTER = "2026-04-01T10:11:12.131415+00:00"


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


async def made(client: httpx.AsyncClient, pool: Pool, dag_id: str, case: dict[str, Any]) -> dict[str, Any]:
    """The run, triggered in the case's way."""
    if case["way"] == "operator":
        wanted = manual_runs.ManualRun(
            run_id=f"manual__{dag_id}", logical_date=moment(case["logical_date"]), run_after=moment(RUN_AFTER)
        )
        planned = await manual_runs.plan(pool.connection, dag_id, wanted, infers_from_now=True)
        async with pool.connection() as connection:
            run = await engine.create_run(connection, dag_id, **planned.arguments())
        return dict((await client.get(f"/dags/{dag_id}/dagRuns/{run.run_id}")).json())
    body = {"logical_date": case["logical_date"], "run_after": RUN_AFTER}
    if case["interval"]:
        body |= dict(zip(("data_interval_start", "data_interval_end"), case["interval"], strict=True))
    path = f"/dags/{dag_id}/dagRuns"
    if case["way"] == "materialize":
        assets = (await client.get("/assets", params={"dag_ids": dag_id, "name_pattern": f"out_{dag_id}"})).json()
        path = f"/assets/{assets['assets'][0]['id']}/materialize"
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("way", ["rest", "materialize", "operator"])
async def test_the_interval_and_the_id_are_airflows(
    client: httpx.AsyncClient, stage: Stage, pool: Pool, way: str
) -> None:
    wrong = []
    cases = [case for case in TRUTH if case["way"] == way]
    for number, case in enumerate(cases):
        dag_id = f"d{number}"
        outlet = {"type": "asset", "name": f"out_{dag_id}", "uri": f"s3://out/{dag_id}", "group": "asset", "extra": {}}
        await stage.register(spec(dag_id, [task("only", outlets=[outlet])], schedule=case["schedule"]))
        run = await made(client, pool, dag_id, case)
        span = [run["data_interval_start"], run["data_interval_end"]]
        found = None if span == [None, None] else [str(moment(each)) for each in span]
        expected = case["made"] and [str(moment(each)) for each in case["made"]]
        named = run["dag_run_id"] == case["run_id"] or way == "operator"
        if found != expected or not named or moment(run["run_after"]) != moment(RUN_AFTER):
            wrong.append((case, found, run["dag_run_id"]))
    assert len(cases) >= 40
    assert wrong == []


async def test_a_run_for_later_waits_until_its_time_has_come(client: httpx.AsyncClient, stage: Stage) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    body = {"logical_date": None, "run_after": later.isoformat()}
    run = (await client.post("/dags/flaky/dagRuns", json=body)).json()
    assert run["state"] == "queued" and run["dag_run_id"] == f"manual__{later.isoformat()}"
    assert await stage.work() == 0
    due = await stage.one("select leoflow_core.next_due()")
    assert due == later, "a scheduler knows when to look"
    now = (await client.post("/dags/flaky/dagRuns", json={"logical_date": None})).json()
    assert now["state"] == "running", "it keeps no other run from starting"
    await stage.one("update leoflow_core.dag_run set run_after = clock_timestamp() where state = 'queued' returning 1")
    await stage.one("select leoflow_core.promote_due()")
    assert (await client.get(f"/dags/flaky/dagRuns/{run['dag_run_id']}")).json()["state"] == "running"
