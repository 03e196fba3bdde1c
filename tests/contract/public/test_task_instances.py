"""Listing, reading, marking and clearing task instances, their tries, XComs and logs."""

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from leoflow.api.public import logs
from tests.contract.public.stage import Stage

pytestmark = pytest.mark.anyio

RUN = "/dags/etl/dagRuns/r"
CLEAR = {
    "dry_run": True,
    "dag_run_id": "r",
    "include_downstream": True,
    "include_future": False,
    "include_past": False,
    "include_upstream": False,
    "only_failed": False,
    "run_on_latest_version": False,
    "task_ids": [["transform", -1]],
}
MARK = {
    "include_downstream": False,
    "include_future": False,
    "include_past": False,
    "include_upstream": False,
    "new_state": "failed",
    "note": None,
}


async def states(client: httpx.AsyncClient, run: str = RUN) -> dict[str, str | None]:
    found = (await client.get(f"{run}/taskInstances")).json()["task_instances"]
    return {instance["task_id"]: instance["state"] for instance in found}


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return sorted(instance["task_id"] for instance in answer.json()["task_instances"])


async def test_filters_and_cursors_choose_instances(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    await stage.start("grouped", "g")
    await stage.work({"extract": {"states": ["failed"]}})

    async def found(query: str, path: str = "/dags/~/dagRuns/~") -> list[str]:
        return ids(await client.get(f"{path}/taskInstances?{query}"))

    assert await found("state=failed") == ["extract"]
    assert await found("state=upstream_failed&state=failed") == ["extract", "load", "transform"]
    assert await found("task_group_id=outer") == ["outer.a", "outer.inner.b"]
    assert await found("task_group_id=outer.inner") == ["outer.inner.b"]
    assert await found("task_group_id=nothing") == []
    assert await found("task_id=end", "/dags/grouped/dagRuns/~") == ["end"]
    assert await found("task_display_name_prefix_pattern=outer", "/dags/grouped/dagRuns/g") == [
        "outer.a",
        "outer.inner.b",
    ]
    assert await found("pool=default_pool&queue=default&operator=nothing") == []
    assert await found("map_index=-1&try_number=1&version_number=1&state=failed") == ["extract"]
    pages: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        body = (await client.get(f"{RUN}/taskInstances?cursor={cursor}&limit=2&order_by=-id")).json()
        pages += [instance["task_id"] for instance in body["task_instances"]]
        cursor = body["next_cursor"]
    assert sorted(pages) == ["extract", "load", "transform"]
    body = {"dag_ids": ["etl"], "state": ["failed"], "order_by": "-start_date"}
    assert ids(await client.post("/dags/~/dagRuns/~/taskInstances/list", json=body)) == ["extract"]


async def test_an_instance_has_its_rendered_fields_and_says_why_it_waits(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    await stage.start("etl", "r")
    assert (await client.get(f"{RUN}/taskInstances/load")).json()["state"] is None
    why = (await client.get(f"{RUN}/taskInstances/load/dependencies")).json()["dependencies"]
    assert [reason["name"] for reason in why] == ["Trigger Rule"]
    await client.patch("/dags/etl", json={"is_paused": True})
    why = (await client.get(f"{RUN}/taskInstances/extract/-1/dependencies")).json()["dependencies"]
    assert [reason["name"] for reason in why] == ["Dag Not Paused"]
    await client.patch("/dags/etl", json={"is_paused": False})
    await stage.one(
        "insert into leoflow_core.task_instance_extra (run_key, task_idx, rendered_fields)"
        " select run_key, task_idx, '{\"op_args\": [1]}' from leoflow_core.task_instance limit 1"
    )
    instances = (await client.get(f"{RUN}/taskInstances?order_by=id")).json()["task_instances"]
    assert [instance["rendered_fields"] for instance in instances] == [{}, {}, {}]
    single = (await client.get(f"{RUN}/taskInstances/{instances[0]['task_id']}/-1")).json()
    assert single["rendered_fields"] == {"op_args": [1]}


async def test_unknown_instances_are_404_with_airflows_text(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    for path in (
        "/dags/nope/dagRuns/r/taskInstances",
        "/dags/etl/dagRuns/nope/taskInstances",
        f"{RUN}/taskInstances/nope",
        f"{RUN}/taskInstances/extract/7",
        f"{RUN}/taskInstances/extract/tries/9",
        f"{RUN}/taskInstances/nope/tries",
        f"{RUN}/taskInstances/nope/links",
        f"{RUN}/taskInstances/extract/logs/9",
        f"{RUN}/taskInstances/extract/listMapped",
        f"{RUN}/taskInstances/extract/-1/hitlDetails",
        f"{RUN}/taskInstances/extract/xcomEntries/nope",
    ):
        answer = await client.get(path)
        assert answer.status_code == 404, path
        assert isinstance(answer.json()["detail"], str)


async def test_clearing_runs_a_task_and_what_follows_again(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    await stage.work()
    path = "/dags/etl/clearTaskInstances"
    assert ids(await client.post(path, json=CLEAR)) == ["load", "transform"]
    assert (await states(client))["load"] == "success"
    done = await client.post(path, json={**CLEAR, "dry_run": False, "prevent_running_task": True})
    assert ids(done) == ["load", "transform"]
    assert (await states(client))["extract"] == "success"
    assert await stage.work() == 2
    tries = (await client.get(f"{RUN}/taskInstances/load/-1/tries")).json()["task_instances"]
    assert [(one["try_number"], one["hostname"]) for one in tries] == [(1, "stage"), (2, "stage")]
    assert ids(await client.post(path, json={**CLEAR, "task_ids": ["extract"], "include_downstream": False})) == [
        "extract"
    ]
    whole: dict[str, Any] = {"dry_run": True, "only_failed": False, "dag_run_id": "r"}
    assert len(ids(await client.post(path, json=whole))) == 3


@pytest.mark.parametrize(
    ("changes", "status", "part"),
    [
        ({"dag_run_id": "nope"}, 404, "nope"),
        ({"task_ids": ["nope"]}, 404, "nope"),
        ({"include_past": True}, 400, "include_past"),
        ({"task_ids": [["a"]]}, 422, "task_ids"),
        ({"only_failed": True, "only_running": True}, 422, "only_failed"),
        ({"start_date": "2026-01-01T00:00:00Z"}, 422, "dag_run_id"),
    ],
)
async def test_a_bad_clear_is_refused(
    client: httpx.AsyncClient, stage: Stage, changes: dict[str, Any], status: int, part: str
) -> None:
    await stage.start("etl", "r")
    answer = await client.post("/dags/etl/clearTaskInstances", json={**CLEAR, **changes})
    assert answer.status_code == status, answer.text
    assert part in str(answer.json()["detail"])


async def test_marking_changes_states_and_what_follows(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    path = f"{RUN}/taskInstances/extract"
    assert ids(await client.patch(f"{path}/dry_run?map_index=-1", json=MARK)) == ["extract"]
    assert (await states(client))["extract"] == "scheduled"
    marked = await client.patch(f"{path}?map_index=-1", json={**MARK, "note": "no data"})
    assert [(ti["state"], ti["note"]) for ti in marked.json()["task_instances"]] == [("failed", "no data")]
    assert await states(client) == {"extract": "failed", "transform": "upstream_failed", "load": "upstream_failed"}
    again = await client.patch(f"{path}?map_index=-1", json=MARK)
    assert (again.status_code, "already in failed state" in again.json()["detail"]) == (409, True)
    noted = await client.patch(f"{path}/-1", json={"note": ""})
    assert [ti["note"] for ti in noted.json()["task_instances"]] == [None]
    assert (await client.patch(path, json={"new_state": "running"})).status_code == 422
    assert (await client.patch(f"{RUN}/taskInstances/nope", json=MARK)).status_code == 404
    update = {"action": "update", "entities": [{"task_id": "load", "new_state": "success"}, {"task_id": "no"}]}
    bulk = (await client.patch(f"{RUN}/taskInstances", json={"actions": [update]})).json()
    assert bulk["update"]["success"] == []
    assert bulk["update"]["errors"][0]["status_code"] == 404
    update["action_on_non_existence"] = "skip"
    bulk = (await client.patch(f"{RUN}/taskInstances", json={"actions": [update]})).json()
    assert bulk["update"]["success"] == ["etl.r.load[-1]"]
    assert (await states(client))["load"] == "success"
    assert (await client.delete(f"{path}?map_index=-1")).status_code == 200
    assert (await states(client))["extract"] == "removed"


async def test_xcoms_are_written_read_and_deleted(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    values = {"a": 1, "at": {"__classname__": "builtins.tuple", "__version__": 1, "__data__": [1, 2]}}
    await stage.work({"extract": {"value": values, "xcoms": {"odd/key+ü": [1]}}})
    path = f"{RUN}/taskInstances/extract/xcomEntries"
    assert (await client.get(path)).json()["total_entries"] == 2
    assert (await client.get(f"{path}/return_value")).json()["value"] == values
    readable = await client.get(f"{path}/return_value?map_index=-1&deserialize=true&stringify=false")
    assert readable.json()["value"] == {"a": 1, "at": "(1,2)"}
    text = (await client.get(f"{path}/return_value?deserialize=true&stringify=true")).json()["value"]
    assert text == "{'a': 1, 'at': '(1,2)'}"
    assert (await client.get(f"{path}/odd/key+ü")).json()["value"] == [1]
    body = {"key": "mine", "map_index": -1, "value": {"x": None}}
    assert (await client.post(path, json=body)).status_code == 201
    assert (await client.post(path, json=body)).status_code == 409
    assert (await client.post(path, json={**body, "value": {"__classname__": "os"}})).status_code == 422
    assert (await client.patch(f"{path}/mine", json={"value": [2], "map_index": -1})).json()["value"] == [2]
    assert (await client.delete(f"{path}/mine?map_index=-1")).status_code == 204
    assert (await client.delete(f"{path}/mine")).status_code == 404
    found = await client.get("/dags/~/dagRuns/~/taskInstances/~/xcomEntries?xcom_key_prefix_pattern=odd")
    assert [entry["key"] for entry in found.json()["xcom_entries"]] == ["odd/key+ü"]


async def test_logs_come_as_json_or_lines_and_can_be_followed(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    odd = [{"timestamp": "2026-11-22T10:00:00Z", "event": "one"}, {"event": {"not": "text"}}, "no object"]
    await stage.work({"extract": {"log": odd}})
    path = f"{RUN}/taskInstances/extract/logs/1?map_index=-1"
    body = (await client.get(path)).json()
    events = [line["event"] for line in body["content"]]
    assert events[0] == "::group::Log message source details"
    assert events[2:] == ["::endgroup::", "one", "{'not': 'text'}", '"no object"']
    assert body["continuation_token"] is None
    lines = await client.get(path, headers={"accept": "application/x-ndjson"})
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    parsed = [httpx.Response(200, content=line).json() for line in lines.text.splitlines()]
    assert [line["event"] for line in parsed] == events
    assert all("timestamp" in line for line in parsed)
    assert (await client.get(f"{RUN}/taskInstances/extract/externalLogUrl/1")).status_code == 400
    assert (await client.get(f"{path}&token=rubbish%00")).status_code == 400


async def test_following_a_running_log_gets_only_what_is_new(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    stage.worker_key = await stage.one("select leoflow_core.register_worker('stage', 1, 16)")
    (attempt,) = await stage._claim()

    async def write(event: str) -> None:
        await stage.one(
            "insert into leoflow_core.task_log (run_key, task_idx, map_index, try_number, lines, line_count)"
            " values (%s, %s, -1, 1, %s, 1)",
            attempt["run_key"],
            attempt["task_idx"],
            f'{{"event":"{event}"}}\n',
        )

    path = f"{RUN}/taskInstances/extract/logs/1"
    await write("first")
    body = (await client.get(path)).json()
    assert body["content"][-1] == {"event": "first"}
    await write("second")
    body = (await client.get(path, params={"token": body["continuation_token"]})).json()
    assert body["content"] == [{"event": "second"}]
    token = body["continuation_token"]
    assert (await client.get(path, params={"token": token})).json()["content"] == []
    streamed = await client.get(path, params={"token": token}, headers={"accept": "application/x-ndjson"})
    assert (streamed.text, streamed.headers["airflow-continuation-token"]) == ("", token)


async def test_the_last_lines_come_after_the_end_and_are_waited_for(
    client: httpx.AsyncClient, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.start("etl", "r")
    await stage.work({"extract": {"log": [{"event": "first"}]}})
    await stage.one("update leoflow_core.task_log set is_last = false")

    async def write(_: float) -> None:
        await stage.one(
            "insert into leoflow_core.task_log"
            " (run_key, task_idx, map_index, try_number, attempt_id, is_last, lines, line_count)"
            " select run_key, task_idx, map_index, try_number, attempt_id, true, %s, 1 from leoflow_core.task_log",
            '{"event":"last"}\n',
        )

    path = f"{RUN}/taskInstances/extract/logs/1"
    streamed = {"accept": "application/x-ndjson"}
    monkeypatch.setattr(logs, "LAST_LINES_SECONDS", 0)
    assert (await client.get(path)).json()["continuation_token"] is not None, "there may be more"
    assert "airflow-continuation-token" in (await client.get(path, headers=streamed)).headers
    monkeypatch.setattr(logs, "LAST_LINES_SECONDS", 60)
    monkeypatch.setattr(logs, "asyncio", SimpleNamespace(sleep=write))
    lines = await client.get(path, headers=streamed)
    assert lines.text.splitlines()[-1].endswith('"event":"last"}')
    assert "airflow-continuation-token" not in lines.headers
    assert (await client.get(path)).json()["continuation_token"] is None


async def test_links_to_this_server_hold_under_any_name(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("flaky", "r")
    path = "/dags/flaky/dagRuns/r/taskInstances/boom/links"
    for stored, shown in (
        ("http://ui.test:1/dags/x/runs/y", "/dags/x/runs/y"),
        ("http://ui.test:10/dags/x", "http://ui.test:10/dags/x"),
    ):
        await stage.work({"boom": {"xcoms": {"_link_Docs": stored}}})
        assert (await client.get(path)).json()["extra_links"] == {"docs": shown}
        await stage.one("select leoflow.clear_tasks('flaky', 'r')")


async def test_a_task_that_never_ran_has_a_log_that_says_why(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    await stage.work({"extract": {"states": ["failed"]}})
    body = (await client.get(f"{RUN}/taskInstances/load/logs/0")).json()
    assert body["content"][-1] == {"event": "Task did not run because upstream task(s) failed."}
