"""Backfills through the API: planned, made, paused, cancelled, over when their runs are."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.contract.public.stage import Stage, spec, task

pytestmark = pytest.mark.anyio
BODY = {"dag_id": "etl", "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-04T00:00:00Z"}


async def dates(client: httpx.AsyncClient, **changes: Any) -> list[str]:
    answer = await client.post("/backfills/dry_run", json={**BODY, **changes})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["total_entries"] == len(found["backfills"])
    assert all(one["partition_key"] is None and one["partition_date"] is None for one in found["backfills"])
    return [one["logical_date"][:13] for one in found["backfills"]]


async def made(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/backfills", json={**BODY, **changes})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def runs_of(client: httpx.AsyncClient, backfill: dict[str, Any]) -> list[dict[str, Any]]:
    return list((await client.get(f"/leoflow/backfills/{backfill['id']}/runs")).json()["runs"])


async def test_a_dry_run_lists_exactly_the_runs_that_are_made(client: httpx.AsyncClient, stage: Stage) -> None:
    assert await dates(client) == ["2026-01-01T06", "2026-01-02T06", "2026-01-03T06"]
    assert await dates(client, run_backwards=True) == ["2026-01-03T06", "2026-01-02T06", "2026-01-01T06"]
    assert (await client.get("/dags/etl/dagRuns")).json()["total_entries"] == 0
    backfill = await made(client, dag_run_conf={"n": 7}, max_active_runs=2, run_backwards=True)
    assert (backfill["is_paused"], backfill["completed_at"], backfill["max_active_runs"]) == (False, None, 2)
    runs = (await client.get("/dags/etl/dagRuns?order_by=logical_date")).json()["dag_runs"]
    assert [run["logical_date"][:13] for run in runs] == ["2026-01-01T06", "2026-01-02T06", "2026-01-03T06"]
    first = runs[0]
    assert first["dag_run_id"] == "backfill__2026-01-02T06:00:00+00:00"
    assert (first["run_type"], first["triggered_by"], first["triggering_user_name"]) == (
        "backfill",
        "backfill",
        "admin",
    )
    assert (first["conf"], first["data_interval_end"], first["state"]) == ({"n": 7}, "2026-01-02T06:00:00Z", "queued")
    assert [run["logical_date"][:10] for run in await runs_of(client, backfill)] == [
        "2026-01-03",
        "2026-01-02",
        "2026-01-01",
    ]
    assert (await client.get("/backfills?dag_id=etl")).json() == {"backfills": [backfill], "total_entries": 1}
    assert (await client.get(f"/backfills/{backfill['id']}")).json() == backfill
    assert await stage.work() == 9
    assert (await client.get(f"/backfills/{backfill['id']}")).json()["completed_at"] is not None
    assert {run["state"] for run in await runs_of(client, backfill)} == {"success"}


async def test_partitions_are_made_once_or_again(client: httpx.AsyncClient, stage: Stage) -> None:
    schedule = {"type": "cron_partition", "expression": "0 */12 * * *", "timezone": "UTC", "run_offset": -1}
    schedule |= {"key_format": "%Y-%m-%d", "run_immediately": False}
    await stage.register(spec("parts", [task("a")], schedule=schedule))
    body = {"dag_id": "parts", "from_date": "2026-01-02", "to_date": "2026-01-03T00:00:00Z"}
    planned = (await client.post("/backfills/dry_run", json={**BODY, **body})).json()["backfills"]
    moments = [("2026-01-01", "2026-01-01T12:00:00Z"), ("2026-01-02", "2026-01-02T00:00:00Z")]
    assert [(each["partition_key"], each["partition_date"], each["logical_date"]) for each in planned] == [
        (*moment, None) for moment in moments
    ]
    first = await made(client, **body, run_backwards=True)
    told = [
        (one["partition_key"], one["logical_date"], one["exception_reason"]) for one in await runs_of(client, first)
    ]
    assert told == [("2026-01-02", None, None), ("2026-01-02", None, "in flight"), ("2026-01-01", None, None)]
    runs = (await client.get("/dags/parts/dagRuns?order_by=run_after")).json()["dag_runs"]
    ids = [run["dag_run_id"] for run in runs]
    assert ids[0].startswith("backfill__2026-01-02T00:00:00+00:00__2026-01-01__")
    assert ids[1].startswith("backfill__2026-01-03T00:00:00+00:00__2026-01-02__")
    assert [(run["logical_date"], run["data_interval_end"], run["run_type"]) for run in runs] == [
        (None, None, "backfill")
    ] * 2
    await stage.work()
    assert (await client.get(f"/backfills/{first['id']}")).json()["completed_at"] is not None
    second = await made(client, **body, reprocess_behavior="failed")
    assert {one["exception_reason"] for one in await runs_of(client, second)} == {"already exists"}
    await made(client, **body, reprocess_behavior="completed")
    runs = (await client.get("/dags/parts/dagRuns")).json()["dag_runs"]
    assert sorted(run["partition_key"] for run in runs) == ["2026-01-01"] * 2 + ["2026-01-02"] * 2, (
        "new runs, as in Airflow"
    )


async def test_existing_runs_are_left_alone_or_run_again(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "good", logical_date="2026-01-01T06:00:00Z")
    await stage.work()
    await stage.start("etl", "bad", logical_date="2026-01-02T06:00:00Z", conf={"n": 1})
    await stage.work({"transform": {"states": ["failed"]}})
    await stage.start("etl", "going", logical_date="2026-01-03T06:00:00Z")
    more = {"to_date": "2026-01-05T00:00:00Z"}
    assert await dates(client, **more) == ["2026-01-04T06"]
    assert await dates(client, **more, reprocess_behavior="failed") == ["2026-01-02T06", "2026-01-04T06"]
    assert await dates(client, **more, reprocess_behavior="completed") == [
        "2026-01-01T06",
        "2026-01-02T06",
        "2026-01-04T06",
    ]
    backfill = await made(client, **more, reprocess_behavior="failed")
    assert [(run["dag_run_id"], run["exception_reason"]) for run in await runs_of(client, backfill)] == [
        (None, "already exists"),
        ("bad", None),
        (None, "in flight"),
        ("backfill__2026-01-05T06:00:00+00:00", None),
    ]
    again = (await client.get("/dags/etl/dagRuns/bad")).json()
    assert (again["run_type"], again["state"], again["conf"]) == ("backfill", "queued", {"n": 1})
    assert await stage.work() == 3 + 3 + 3  # the going run, the cleared one, the new one
    assert (await client.get(f"/backfills/{backfill['id']}")).json()["completed_at"] is not None


async def test_a_paused_backfill_starts_nothing_and_goes_on_later(client: httpx.AsyncClient, stage: Stage) -> None:
    backfill = await made(client, max_active_runs=1)
    path = f"/backfills/{backfill['id']}"
    assert (await client.put(f"{path}/pause")).json()["is_paused"] is True
    assert await stage.work() == 0
    # the DAG's own runs do not wait for it
    await stage.start("etl", "own")
    assert await stage.work() == 3
    assert (await client.put(f"{path}/unpause")).json()["is_paused"] is False
    assert await stage.work() == 9


async def test_a_cancelled_backfill_fails_what_is_queued(client: httpx.AsyncClient, stage: Stage) -> None:
    backfill = await made(client, max_active_runs=1)
    await stage.work(rounds=1)
    path = f"/backfills/{backfill['id']}"
    over = (await client.put(f"{path}/cancel")).json()
    assert (over["is_paused"], over["completed_at"] is not None) == (True, True)
    assert [run["state"] for run in await runs_of(client, backfill)] == ["running", "failed", "failed"]
    for action in ("pause", "unpause", "cancel"):
        answer = await client.put(f"{path}/{action}")
        assert (answer.status_code, answer.json()["detail"]) == (409, "Backfill is already completed.")
    assert await stage.work() == 2
    assert [run["state"] for run in await runs_of(client, backfill)] == ["success", "failed", "failed"]
    log = (await client.get("/eventLogs?dag_id=etl&owner=admin&order_by=id")).json()["event_logs"]
    assert [entry["event"] for entry in log] == ["create_backfill", "cancel_backfill"]


@pytest.mark.parametrize(
    ("changes", "status", "part"),
    [
        ({"dag_id": "nope"}, 404, "Could not find dag nope"),
        ({"dag_id": "flaky"}, 422, "flaky has no schedule"),
        ({"from_date": "2026-01-09"}, 422, "from_date must not be after to_date"),
        ({"from_date": "2199-01-01", "to_date": "2199-02-01"}, 422, "future dates"),
        ({"to_date": "2026-01-01T01:00:00Z"}, 422, "No runs to create for Dag etl"),
        ({"from_date": "1926-01-01"}, 422, "at most 10000 runs"),
        ({"max_active_runs": 0}, 422, "max_active_runs must be at least 1"),
        ({"reprocess_behavior": "all"}, 422, "reprocess_behavior"),
        ({"dag_run_conf": {"n": "x"}}, 422, "param n"),
        ({"dag_run_conf": [1]}, 422, "dag_run_conf"),
        ({"from_date": "yesterday"}, 422, "from_date"),
        ({"surprise": 1}, 422, "surprise"),
        ({"dag_id": "past", "reprocess_behavior": "failed", "run_backwards": True}, 422, "cannot be run in reverse"),
        ({"dag_id": "past"}, 422, "You must set reprocess behavior"),
        ({"dag_id": "steps"}, 422, "The dates of this schedule cannot be found"),
    ],
)
async def test_a_bad_backfill_is_refused_with_its_reason(
    client: httpx.AsyncClient, stage: Stage, changes: dict[str, Any], status: int, part: str
) -> None:
    daily = {"type": "cron", "expression": "0 6 * * *", "timezone": "UTC", "data_interval": True}
    await stage.register(spec("past", [task("a", depends_on_past=True)], schedule=daily))
    steps = {"type": "delta", "seconds": None, "relativedelta": {"day": 1}, "data_interval": False}
    await stage.one("update leoflow_core.dag set schedule = %s where dag_id = 'grouped'", json.dumps(steps))
    body = {**BODY, **changes}
    if body["dag_id"] == "steps":
        body["dag_id"] = "grouped"
    for path in ("/backfills", "/backfills/dry_run"):
        answer = await client.post(path, json=body)
        assert answer.status_code == status, answer.text
        assert part in str(answer.json()["detail"])
    assert await stage.one("select count(*) from leoflow_core.backfill") == 0


async def test_a_dag_has_one_unfinished_backfill_at_a_time(client: httpx.AsyncClient, stage: Stage) -> None:
    await made(client)
    answer = await client.post("/backfills", json={**BODY, "from_date": "2025-01-01", "to_date": "2025-01-03"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "There is already a running backfill for dag etl")
    for path in ("/backfills/99", "/leoflow/backfills/99/runs"):
        assert (await client.get(path)).status_code == 404
    assert (await client.put("/backfills/99/pause")).json()["detail"] == "Could not find backfill with id 99"


async def test_only_intervals_that_are_over_are_made(client: httpx.AsyncClient, stage: Stage) -> None:
    today = datetime.now(UTC)
    found = await dates(client, from_date=(today - timedelta(days=2)).isoformat(), to_date="2999-01-01")
    assert 1 <= len(found) <= 2
    assert all(datetime.fromisoformat(one + ":00+00:00") + timedelta(days=1) < today for one in found)


async def test_partitions_to_come_are_made_and_wait_for_their_time(client: httpx.AsyncClient, stage: Stage) -> None:
    """As in Airflow 3.2.2 (models/backfill.py, _get_info_list): whatever has a partition key counts."""
    schedule = {"type": "cron_partition", "expression": "0 0 1 1 *", "timezone": "UTC", "run_offset": 0}
    await stage.register(
        spec("parts", [task("a")], schedule={**schedule, "key_format": "%Y", "run_immediately": False})
    )
    year = datetime.now(UTC).year
    body = {"dag_id": "parts", "from_date": f"{year}-01-01", "to_date": f"{year + 2}-01-01"}
    planned = (await client.post("/backfills/dry_run", json={**BODY, **body})).json()["backfills"]
    assert [each["partition_key"] for each in planned] == [str(year), str(year + 1), str(year + 2)]
    backfill = await made(client, **body)
    assert await stage.work() == 1
    assert [run["state"] for run in await runs_of(client, backfill)] == ["success", "queued", "queued"]
    assert (await client.get(f"/backfills/{backfill['id']}")).json()["completed_at"] is None
    assert await stage.one("select leoflow_core.next_due()") == datetime(year + 1, 1, 1, tzinfo=UTC)
    await stage.one("update leoflow_core.dag_run set run_after = clock_timestamp() where state = 'queued'")
    assert await stage.work() == 2
    assert (await client.get(f"/backfills/{backfill['id']}")).json()["completed_at"] is not None
