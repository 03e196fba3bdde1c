"""Every answer has the shape recorded from Airflow 3.2.2."""

import httpx
import pytest
from fastapi import FastAPI

from tests.contract.public.shapes import differences, golden
from tests.contract.public.stage import Stage

pytestmark = pytest.mark.anyio

RUN = "/dags/etl/dagRuns/manual__2026-11-22T00:00:00+00:00"
FAILED = "/dags/flaky/dagRuns/broken"

BODIES = {
    "version": "/version",
    "plugins_import_errors": "/plugins/importErrors",
    "health": "/monitor/health",
    "import_errors": "/importErrors?limit=1",
    "pools": "/pools",
    "variables": "/variables",
    "jobs": "/jobs",
    "event_logs": "/eventLogs?limit=3&order_by=-when",
    "dag_tags": "/dagTags?limit=10",
    "dag_warnings": "/dagWarnings?dag_id=etl",
    "dags": "/dags?limit=2",
    "dag": "/dags/etl",
    "dag_details": "/dags/etl/details",
    "dag_details_params": "/dags/flaky/details",
    "tasks": "/dags/etl/tasks",
    "task": "/dags/etl/tasks/load",
    "dag_versions": "/dags/etl/dagVersions",
    "dag_version": "/dags/etl/dagVersions/1",
    "dag_source": "/dagSources/etl",
    "dag_runs_cursor": "/dags/~/dagRuns?cursor=&limit=3&order_by=-run_after",
    "dag_runs": "/dags/~/dagRuns?limit=3&order_by=-run_after",
    "dag_run": RUN,
    "task_instances_cursor": "/dags/~/dagRuns/~/taskInstances?cursor=&limit=3&order_by=-id",
    "task_instance": f"{RUN}/taskInstances/extract/-1",
    "tries": f"{FAILED}/taskInstances/boom/-1/tries",
    "try": f"{FAILED}/taskInstances/boom/tries/1?map_index=-1",
    "links": f"{FAILED}/taskInstances/boom/links?map_index=-1",
    "dependencies": f"{FAILED}/taskInstances/boom/dependencies",
    "hitl_details": "/dags/~/dagRuns/~/hitlDetails?limit=50&offset=0",
    "xcoms": f"{RUN}/taskInstances/extract/xcomEntries",
    "xcom": f"{RUN}/taskInstances/extract/xcomEntries/return_value?deserialize=true&stringify=false",
    "queued_events": "/dags/etl/assets/queuedEvents",
    "dag_stats": "/dagStats?dag_ids=etl",
    "assets": "/assets",
    "asset_events": "/assets/events",
    "backfills": "/backfills?dag_id=etl",
    "plugins": "/plugins",
    "providers": "/providers?limit=3",
}

ERRORS = {
    "dag_404": "/dags/nope",
    "mapped_404": f"{RUN}/taskInstances/nope/-1",
    "route_404": "/nope",
}


@pytest.fixture
async def played(stage: Stage, client: httpx.AsyncClient) -> Stage:
    """One run that succeeded, one that failed after a retry, and something in every list."""
    await stage.start("etl", "manual__2026-11-22T00:00:00+00:00", logical_date="2026-11-22T00:00:00Z")
    await stage.work({"extract": {"value": 4}})
    await stage.start("flaky", "broken")
    await stage.work({"boom": {"states": ["failed", "failed"]}})
    await stage.one("insert into leoflow_core.import_error (filename, stack_trace) values ('e.py', 'Traceback')")
    await stage.one("insert into leoflow_core.process (kind, hostname, pid) values ('scheduler', 'vm', 1)")
    assert (await client.post("/variables", json={"key": "my_var", "value": {"x": 1}})).status_code == 201
    backfill = {"dag_id": "etl", "from_date": "2026-01-01", "to_date": "2026-01-03", "dag_run_conf": {}}
    assert (await client.post("/backfills", json=backfill)).status_code == 200
    assert (await client.put("/backfills/1/cancel")).status_code == 200
    return stage


async def test_answers_have_airflows_shape(played: Stage, client: httpx.AsyncClient) -> None:
    found = {}
    for name, path in BODIES.items():
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), path
        found[name] = differences(answer.json(), golden(name))
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


async def test_the_lists_that_were_compared_are_not_empty(played: Stage, client: httpx.AsyncClient) -> None:
    for name in ("dags", "dag_runs", "tries", "xcoms", "event_logs", "jobs", "import_errors", "pools", "backfills"):
        body = (await client.get(BODIES[name])).json()
        assert next(value for value in body.values() if isinstance(value, list)), name


async def test_errors_have_airflows_shape(played: Stage, client: httpx.AsyncClient) -> None:
    for name, path in ERRORS.items():
        answer = await client.get(path)
        assert answer.status_code == 404
        assert differences(answer.json(), golden(name)) == []


async def test_every_operation_of_airflow_has_its_path_parameters_and_name(app: FastAPI) -> None:
    ours = {
        (method.upper(), path): operation
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    }
    for theirs in golden("operations"):
        operation = ours[theirs["method"], theirs["path"]]
        assert operation["operationId"] == theirs["operation_id"]
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert set(theirs["parameters"]) <= names, theirs["path"]
        assert set(theirs["success"]) <= set(operation["responses"]), theirs["path"]
