"""Triggering, listing, changing and deleting runs."""

import httpx
import pytest

from tests.contract.public.stage import Stage

pytestmark = pytest.mark.anyio

LOGICAL = {"logical_date": "2026-11-22T14:30:15.000Z"}


async def test_a_trigger_from_the_ui_makes_a_run_and_answers_with_it(client: httpx.AsyncClient, stage: Stage) -> None:
    body = {
        "conf": {"n": 5},
        "data_interval_end": None,
        "data_interval_start": None,
        "partition_key": None,
        "note": "try it",
        **LOGICAL,
    }
    answer = await client.post("/dags/etl/dagRuns", json=body, headers={"referer": "http://leoflow.test/dags/etl"})
    assert answer.status_code == 200, answer.text
    run = answer.json()
    assert run["dag_run_id"] == f"manual__{run['run_after'].removesuffix('Z')}+00:00", (
        "named after when it was triggered"
    )
    assert (run["run_type"], run["triggered_by"], run["triggering_user_name"]) == ("manual", "ui", "admin")
    assert (run["conf"], run["note"], run["logical_date"]) == ({"n": 5}, "try it", "2026-11-22T14:30:15Z")
    assert run["data_interval_start"] == "2026-11-21T06:00:00Z", "the last whole interval of its timetable"
    assert run["data_interval_end"] == "2026-11-22T06:00:00Z"
    assert run["state"] == "running"
    assert (await client.get(f"/dags/etl/dagRuns/{run['dag_run_id']}")).json() == run


async def test_a_script_triggers_without_a_logical_date(client: httpx.AsyncClient, stage: Stage) -> None:
    run = (await client.post("/dags/etl/dagRuns", json={"logical_date": None})).json()
    assert (run["logical_date"], run["data_interval_start"], run["triggered_by"]) == (None, None, "rest_api")


async def test_a_paused_dag_queues_its_runs(client: httpx.AsyncClient, stage: Stage) -> None:
    assert (await client.patch("/dags/etl", json={"is_paused": True})).json()["is_paused"] is True
    run = (await client.post("/dags/etl/dagRuns", json=LOGICAL)).json()
    assert run["state"] == "queued"


@pytest.mark.parametrize(
    ("path", "body", "status", "part"),
    [
        ("/dags/nope/dagRuns", LOGICAL, 404, "`nope` was not found"),
        ("/dags/etl/dagRuns", {}, 422, "logical_date"),
        ("/dags/etl/dagRuns", {**LOGICAL, "surprise": 1}, 422, "surprise"),
        ("/dags/etl/dagRuns", {**LOGICAL, "conf": [1]}, 422, "conf"),
        ("/dags/etl/dagRuns", {**LOGICAL, "conf": {"n": "five"}}, 400, "param n: 'five' is not of type 'integer'"),
        ("/dags/etl/dagRuns", {**LOGICAL, "data_interval_start": "2026-01-01"}, 422, "data_interval"),
        ("/dags/etl/dagRuns", {**LOGICAL, "dag_run_id": "x" * 251}, 422, "dag_run_id"),
        ("/dags/etl/dagRuns", {**LOGICAL, "dag_run_id": "a/b"}, 422, "dag_run_id"),
        ("/dags/etl/dagRuns", {**LOGICAL, "dag_run_id": "taken"}, 409, "taken"),
        ("/dags/etl/dagRuns", {**LOGICAL, "note": "x" * 1001}, 422, "note"),
        ("/dags/etl/dagRuns", {"logical_date": "yesterday"}, 422, "logical_date"),
        ("/dags/etl/dagRuns", {"logical_date": "2026-01-01T00:00:00Z"}, 409, "2026-01-01"),
    ],
)
async def test_a_bad_trigger_is_refused_with_its_reason(
    client: httpx.AsyncClient, stage: Stage, path: str, body: object, status: int, part: str
) -> None:
    await stage.start("etl", "taken", logical_date="2026-01-01T00:00:00Z")
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert part in str(answer.json()["detail"])


async def test_cursors_walk_all_runs_there_and_back(client: httpx.AsyncClient, stage: Stage) -> None:
    for number in range(7):
        await stage.start("etl", f"r{number}", logical_date=f"2026-01-0{number + 1}T00:00:00Z")
    pages, cursor = [], ""
    while cursor is not None:
        body = (
            await client.get("/dags/~/dagRuns", params={"cursor": cursor, "limit": 3, "order_by": "-run_after"})
        ).json()
        assert body["total_entries"] is None
        pages.append([run["dag_run_id"] for run in body["dag_runs"]])
        last, cursor = body, body["next_cursor"]
    assert pages == [["r6", "r5", "r4"], ["r3", "r2", "r1"], ["r0"]]
    back = await client.get(
        "/dags/~/dagRuns", params={"cursor": last["previous_cursor"], "limit": 3, "order_by": "-run_after"}
    )
    assert [run["dag_run_id"] for run in back.json()["dag_runs"]] == pages[1]


async def test_filters_choose_runs(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "manual__one", logical_date="2026-01-01T00:00:00Z", conf={"color": "red"})
    await stage.work()
    await stage.start("flaky", "two")

    async def found(query: str, dag: str = "~") -> list[str]:
        answer = await client.get(f"/dags/{dag}/dagRuns?{query}")
        assert answer.status_code == 200, answer.text
        return sorted(run["dag_run_id"] for run in answer.json()["dag_runs"])

    assert await found("state=success") == ["manual__one"]
    assert await found("state=running&state=queued") == ["two"]
    assert await found("run_id_prefix_pattern=manual__") == ["manual__one"]
    assert await found("run_id_pattern=WO") == ["two"]
    assert await found("dag_id_prefix_pattern=fl|et") == ["manual__one", "two"]
    assert await found("run_id_prefix_pattern=") == ["manual__one", "two"]
    assert await found("logical_date_gte=2026-01-01T00:00:00Z&logical_date_lte=2026-01-01T00:00:00Z") == ["manual__one"]
    assert await found("logical_date_gt=2026-01-01T00:00:00+00:00") == []
    assert await found("conf_contains=red") == ["manual__one"]
    assert await found("run_type=manual&dag_version=1") == ["manual__one", "two"]
    assert await found("run_type=scheduled") == []
    assert await found("triggering_user_name_prefix_pattern=admin") == ["manual__one", "two"]
    assert await found("duration_gte=0") == ["manual__one"]
    assert await found("", dag="flaky") == ["two"]
    body = {"dag_ids": ["etl"], "states": ["success"], "order_by": "-run_after"}
    batch = (await client.post("/dags/~/dagRuns/list", json=body)).json()
    assert [run["dag_run_id"] for run in batch["dag_runs"]] == ["manual__one"]


async def test_a_run_is_marked_annotated_and_deleted(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    path = "/dags/etl/dagRuns/r"
    refused = await client.delete(path)
    assert (refused.status_code, "running state" in refused.json()["detail"]) == (409, True)
    assert (await client.patch(path, json={"note": "look"})).json()["note"] == "look"
    assert (await client.patch(path, json={"note": ""})).json()["note"] is None
    marked = (await client.patch(path, json={"note": "stop", "state": "failed"})).json()
    assert (marked["state"], marked["note"]) == ("failed", "stop")
    states = {ti["state"] for ti in (await client.get(f"{path}/taskInstances")).json()["task_instances"]}
    assert states <= {"failed", "skipped"}
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_clearing_a_run_says_first_what_it_would_do(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    await stage.work()
    path = "/dags/etl/dagRuns/r/clear"
    body = {"dry_run": True, "only_failed": False, "only_new": False, "run_on_latest_version": False}
    would = (await client.post(path, json=body)).json()
    assert {ti["task_id"] for ti in would["task_instances"]} == {"extract", "transform", "load"}
    assert (await client.get("/dags/etl/dagRuns/r")).json()["state"] == "success"
    assert (await client.post(path, json={**body, "only_failed": True})).json()["total_entries"] == 0
    assert (await client.post(path, json={**body, "only_new": True})).json() == {
        "task_instances": [],
        "total_entries": 0,
    }
    run = (await client.post(path, json={**body, "dry_run": False})).json()
    assert run["dag_run_id"] == "r"
    assert run["state"] in ("queued", "running")
    assert await stage.work() == 3
    assert (await client.get("/dags/etl/dagRuns/r")).json()["state"] == "success"


async def test_waiting_for_a_run_streams_its_state_and_results(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    await stage.work({"extract": {"value": [1, 2]}})
    answer = await client.get("/dags/etl/dagRuns/r/wait?interval=0.1&result=extract")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [line for line in answer.text.splitlines() if line] == ['{"state":"success","results":{"extract":[1,2]}}']


async def test_every_change_is_in_the_audit_log_with_who_did_it(client: httpx.AsyncClient, stage: Stage) -> None:
    run = (await client.post("/dags/etl/dagRuns", json=LOGICAL)).json()
    path = f"/dags/etl/dagRuns/{run['dag_run_id']}"
    await client.patch(path, json={"state": "failed"})
    await client.post(f"{path}/clear", json={"dry_run": False})
    await client.patch(path, json={"state": "failed"})
    await client.delete(path)
    await client.patch("/dags/etl", json={"is_paused": True})
    log = (await client.get("/eventLogs?dag_id=etl&owner=admin&order_by=id")).json()["event_logs"]
    assert [entry["event"] for entry in log] == [
        "trigger_dag_run",
        "dag_run_failed",
        "clear",
        "dag_run_failed",
        "delete_dag_run",
        "paused",
    ]
    assert log[0]["run_id"] == run["dag_run_id"]
