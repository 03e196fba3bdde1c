"""A run that was moved to history looks and behaves as before."""

import httpx
import pytest

from tests.contract.public.stage import Stage

pytestmark = pytest.mark.anyio

RUN = "/dags/flaky/dagRuns/r"
READS = (
    RUN,
    "/dags/flaky/dagRuns",
    f"{RUN}/taskInstances",
    "/dags/~/dagRuns/~/taskInstances",
    "/dags/~/dagRuns/~/taskInstances?state=failed&order_by=-start_date",
    f"{RUN}/taskInstances/boom",
    f"{RUN}/taskInstances/boom/tries",
    f"{RUN}/taskInstances/boom/tries/1",
    f"{RUN}/taskInstances/boom/dependencies",
    f"{RUN}/taskInstances/boom/links",
    f"{RUN}/taskInstances/after/xcomEntries",
    f"{RUN}/taskInstances/boom/logs/2",
)


@pytest.fixture
async def moved(stage: Stage) -> Stage:
    """A run that failed after a retry; `move` takes it to history."""
    await stage.start("flaky", "r")
    await stage.work({"boom": {"states": ["failed"]}})
    await stage.one("select leoflow_core.promote_due()")
    await stage.work({"boom": {"states": ["failed"]}})
    await stage.one("update leoflow_core.setting set value = '-1' where key = 'history_after_seconds'")
    return stage


async def move(stage: Stage) -> None:
    assert await stage.one("select leoflow_core.archive_runs()") == 1
    assert await stage.one("select count(*) from leoflow_core.task_instance") == 0


async def test_every_read_answers_the_same(client: httpx.AsyncClient, moved: Stage) -> None:
    before = {path: (await client.get(path)) for path in READS}
    assert {answer.status_code for answer in before.values()} == {200}
    await move(moved)
    for path, answer in before.items():
        assert (await client.get(path)).json() == answer.json(), path


async def test_a_note_reaches_an_instance_in_history(client: httpx.AsyncClient, moved: Stage) -> None:
    await move(moved)
    answer = await client.patch(f"{RUN}/taskInstances/boom", json={"note": "flaky disk"})
    assert answer.status_code == 200, answer.text
    await moved.one("select leoflow_core.archive_runs()")
    assert (await client.get(f"{RUN}/taskInstances/boom")).json()["note"] == "flaky disk"


async def test_marking_and_clearing_bring_a_run_back(client: httpx.AsyncClient, moved: Stage) -> None:
    await move(moved)
    marked = await client.patch(f"{RUN}/taskInstances/after", json={"new_state": "success"})
    assert [one["state"] for one in marked.json()["task_instances"]] == ["success"]
    await move(moved)
    cleared = await client.post(
        "/dags/flaky/clearTaskInstances", json={"dag_run_id": "r", "dry_run": False, "only_failed": True}
    )
    assert [one["task_id"] for one in cleared.json()["task_instances"]] == ["boom"]
    assert (await client.get(RUN)).json()["state"] == "queued"


async def test_deleting_an_instance_or_the_run_works_in_history(client: httpx.AsyncClient, moved: Stage) -> None:
    await move(moved)
    assert (await client.delete(f"{RUN}/taskInstances/after")).status_code == 200
    await move(moved)
    assert (await client.delete(RUN)).status_code == 204
    assert (await client.get(f"{RUN}/taskInstances")).status_code == 404
