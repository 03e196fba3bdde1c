"""Whatever is asked, the answer is a 4xx with a reason or a true answer, never a 500."""

import contextlib
import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from leoflow.spec import DagSpec, as_json, content_hash
from tests.contract.public.shapes import golden
from tests.contract.public.stage import ETL, Stage

pytestmark = pytest.mark.anyio

NAMES = ["quote's", '"; drop table x; --', "naïve ☃", "a+b:c", "%", "..", "x" * 5000, "\u202e", "{}", "$1 %s %(a)s"]
NUMBERS = ["0", "-1", "2147483648", "99999999999999999999999999", "1e3", "NaN", "x", ""]
QUERY = ["", "~", "|", "a|b", "%", "\\", "\x00", "x" * 3000, "☃'"]


def filled(path: str, value: str) -> str:
    return re.sub(r"\{\w+\}", quote(value, safe="+:"), path)


def fine(answer: httpx.Response) -> bool:
    if answer.status_code >= 500:
        return False
    if answer.status_code < 400:
        return True
    body: dict[str, Any] = answer.json()
    return bool(body.get("detail") or body.get("error"))


async def test_odd_names_in_paths_never_break_a_read(client: httpx.AsyncClient, stage: Stage) -> None:
    for operation in golden("operations"):
        if operation["method"] != "GET":
            continue
        path = operation["path"].removeprefix("/api/v2")
        for value in NAMES + NUMBERS[:4]:
            if "{" in path and value != "..":
                answer = await client.get(filled(path, value) + ("?interval=1" if path.endswith("wait") else ""))
                assert fine(answer), (answer.status_code, path, value)


async def test_odd_parameters_never_break_a_list(client: httpx.AsyncClient, stage: Stage) -> None:
    for operation in golden("operations"):
        path = operation["path"].removeprefix("/api/v2").replace("{dag_id}", "~").replace("{dag_run_id}", "~")
        if operation["method"] != "GET" or "{" in path.replace("{task_id}/xcomEntries", ""):
            continue
        path = path.replace("{task_id}", "~")
        for number, name in enumerate(operation["parameters"]):
            for value in (QUERY[number % len(QUERY)], QUERY[(number + 3) % len(QUERY)], NUMBERS[number % len(NUMBERS)]):
                answer = await client.get(path, params={name: value})
                assert fine(answer), (answer.status_code, path, name, value)


async def test_odd_bodies_never_break_a_write(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    bodies: list[Any] = [None, [], {}, "text", 5, {"a": {"b": []}}, {"actions": [{}]}, {"actions": "x"}]
    for operation in golden("operations"):
        if operation["method"] not in ("POST", "PATCH", "PUT"):
            continue
        path = operation["path"].removeprefix("/api/v2").replace("{dag_id}", "etl").replace("{dag_run_id}", "r")
        path = re.sub(r"\{\w*(index|number|_id)\}", "1", path.replace("{task_id}", "extract"))
        for body in bodies:
            answer = await client.request(operation["method"], filled(path, "x"), json=body)
            assert fine(answer), (answer.status_code, operation["method"], path, body, answer.text)
        answer = await client.request(
            operation["method"], filled(path, "x"), content=b"{broken", headers={"content-type": "application/json"}
        )
        assert fine(answer), (answer.status_code, path)


BAD_VALUES = {
    '"a\\u0000b"': "NUL character",
    '{"\\u0000": 1}': "NUL character",
    '"\\ud800"': "half a surrogate pair",
    "NaN": "NaN",
    "-Infinity": "NaN",
    "1e400": "NaN",
    "[" * 250 + "]" * 250: "200 levels",
    "[" * 900 + "]" * 900: "200 levels",
    "[" * 100_000 + "]" * 100_000: "200 levels",
    "9" * 5000: "more digits",
}
PLACES = [
    ("POST", "/dags/etl/dagRuns", '{"logical_date": null, "conf": {"k": %s}}', "body.conf.k"),
    ("POST", "/dags/etl/dagRuns", '{"logical_date": null, "note": %s}', "body.note"),
    ("POST", "/dags/etl/dagRuns", '{"logical_date": null, "partition_key": %s}', "body.partition_key"),
    ("PATCH", "/dags/etl/dagRuns/r/taskInstances/extract", '{"note": %s}', "body.note"),
    ("POST", "/dags/etl/dagRuns/r/taskInstances/extract/xcomEntries", '{"key": "k", "value": [%s]}', "body.value.0"),
    ("POST", "/dags/etl/clearTaskInstances", '{"dag_run_id": "r", "task_ids": [%s]}', "body.task_ids.0"),
    ("POST", "/variables", '{"key": "k", "value": %s}', "body.value"),
    ("POST", "/pools", '{"name": "p", "slots": 1, "description": %s}', "body.description"),
    ("POST", "/connections", '{"connection_id": "c", "conn_type": "http", "host": %s}', "body.host"),
    ("POST", "/backfills", '{"dag_id": "etl", "dag_run_conf": {"k": %s}}', "body.dag_run_conf.k"),
    ("POST", "/leoflow/dags/d/versions", '{"dag_id": "d", "params": {"p": {"value": %s}}}', "body.params.p.value"),
]


async def test_values_that_cannot_be_kept_are_refused_with_their_field(client: httpx.AsyncClient, stage: Stage) -> None:
    await stage.start("etl", "r")
    for method, path, body, field in PLACES:
        for value, rule in BAD_VALUES.items():
            answer = await client.request(
                method, path, content=(body % value).encode(), headers={"content-type": "application/json"}
            )
            detail = answer.json()["detail"]
            assert answer.status_code == 422, (path, detail)
            assert rule in detail, (path, detail)
            # what is too deep or too long to be read has no path
            assert detail.startswith(field) or "levels" in detail or "digits" in detail, detail
    answer = await client.post(
        "/pools", content=b'{"name": "\xed\xa0\x80"}', headers={"content-type": "application/json"}
    )
    assert (answer.status_code, "not UTF-8" in answer.json()["detail"]) == (422, True)


async def test_values_of_tasks_that_json_cannot_carry_are_shown(client: httpx.AsyncClient, stage: Stage) -> None:
    """Tasks may return what they like; reading it must not fail."""
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    values = {"deep": deep, "half": ["\ud800", {"\udc00": 1}], "nan": [float("nan")], "large": 2**200, "nul": "\x00"}
    await stage.start("etl", "r")
    await stage.work({"extract": {"xcoms": values, "value": 1}})
    shown = {}
    for key in values:
        for query in ("", "?deserialize=true", "?stringify=true"):
            answer = await client.get(f"/dags/etl/dagRuns/r/taskInstances/extract/xcomEntries/{key}{query}")
            assert answer.status_code == 200, (key, query, answer.text)
            shown.setdefault(key, answer.json()["value"])
    assert shown == {
        "deep": "[" * 401 + "]" * 401,
        "half": ["\ufffd", {"\ufffd": 1}],
        "nan": ["nan"],
        "large": 2**200,
        "nul": "\ufffd",
    }


async def test_conf_as_deep_and_large_as_is_allowed_comes_back_everywhere(
    client: httpx.AsyncClient, stage: Stage
) -> None:
    deep: Any = []
    for _ in range(198):
        deep = [deep]
    conf = {"deep": deep, "large": 2**200, "small": 1e-300}
    made = await client.post("/dags/etl/dagRuns", json={"logical_date": None, "conf": conf, "dag_run_id": "x"})
    assert made.status_code == 200, made.text
    for path in ("/dags/etl/dagRuns/x", "/dags/etl/dagRuns", "/dags/~/dagRuns?order_by=conf"):
        answer = await client.get(path)
        assert answer.status_code == 200, path
        found = answer.json()
        assert found.get("conf", found.get("dag_runs", [{"conf": None}])[0].get("conf")) == conf, path


SPECS = [
    ({"retries": 2**31}, "'tasks', 0, 'retries'"),
    ({"retries": 10**30}, "'tasks', 0, 'retries'"),
    ({"retry_delay_seconds": 1e300}, "'tasks', 0, 'retry_delay_seconds'"),
    ({"pool_slots": -1}, "'tasks', 0, 'pool_slots'"),
    ({"pool": ""}, "'tasks', 0, 'pool'"),
    ({"max_active_tis_per_dag": -1}, "'tasks', 0, 'max_active_tis_per_dag'"),
    ({"xcom_input": {"rows": ["ghost"]}}, "xcom_input of task extract names an unknown task: ghost"),
    ({"mapping": {"kind": "expand", "inputs": [{"type": "xcom", "task_id": "ghost"}]}}, "an unknown task: ghost"),
    ({"depends_on": ["load"]}, "cycle"),
    ({"task_id": "quo'te"}, "task_id"),
]
DAGS = [
    ({"max_active_runs": 2**40}, "'max_active_runs'"),
    ({"max_active_tasks": 0}, "'max_active_tasks'"),
    ({"dagrun_timeout_seconds": -1.0}, "'dagrun_timeout_seconds'"),
    ({"start_date": "yesterday"}, "start_date of the DAG is no moment"),
    ({"schedule": {"type": "cron", "expression": "x", "timezone": "UTC"}}, "schedule"),
    ({"schedule": {"type": "cron", "expression": "* * * * *", "timezone": "Mars/X"}}, "schedule"),
    ({"schedule": {"type": "surprise"}}, "schedule"),
    ({"timezone": "XYZ5"}, "timezone"),  # which Postgres would take
    ({"task_groups": [{"group_id": "g", "label": "g", "parent_group_id": "g"}]}, "group g is inside itself"),
    ({"task_groups": [{"group_id": "g", "label": "g"}] * 2}, "used twice: g"),
]


async def test_a_spec_that_cannot_run_is_refused_with_its_field(client: httpx.AsyncClient, stage: Stage) -> None:
    for of_task, of_dag, part in [(one, {}, part) for one, part in SPECS] + [({}, one, part) for one, part in DAGS]:
        document = as_json(ETL) | {"dag_id": "new"} | of_dag
        document["tasks"][0] |= of_task  # extract
        with contextlib.suppress(ValidationError):
            document["content_hash"] = content_hash(DagSpec.model_validate(document))
        answer = await client.post("/leoflow/dags/new/versions", json=document)
        assert answer.status_code == 422, (of_task, of_dag, answer.text)
        assert part in str(answer.json()["detail"]), (part, answer.text)
    assert (await client.get("/dags/new")).status_code == 404


async def test_a_huge_body_is_refused(client: httpx.AsyncClient, stage: Stage) -> None:
    body = b'{"key": "a", "value": "' + b"x" * (33 * 1024 * 1024) + b'"}'
    answer = await client.post("/variables", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=-1", 422),
        ("limit=x", 422),
        ("offset=-1", 422),
        ("offset=99999999999999999999", 400),
        ("order_by=password", 400),
        ("&".join(["order_by=state"] * 11), 400),
        ("state=nonsense", 422),
        ("run_after_gte=yesterday", 422),
        ("duration_gte=NaN", 422),
        ("cursor=rubbish", 400),
        ("cursor=WzAsMV0&order_by=-run_after", 400),
        ("cursor=WzAsIngiLCJ5Il0&order_by=-run_after", 400),
    ],
)
async def test_a_bad_list_parameter_is_refused(
    client: httpx.AsyncClient, stage: Stage, query: str, status: int
) -> None:
    answer = await client.get(f"/dags/~/dagRuns?{query}")
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


async def test_pages_are_limited(client: httpx.AsyncClient, stage: Stage) -> None:
    for number in range(103):
        await stage.start("etl", f"r{number:03}")
    body = (await client.get("/dags/etl/dagRuns?limit=1000")).json()
    assert (len(body["dag_runs"]), body["total_entries"]) == (100, 103)
    assert len((await client.get("/dags/etl/dagRuns")).json()["dag_runs"]) == 50
    assert (await client.get("/dags/etl/dagRuns?limit=0")).json()["dag_runs"] == []
    assert len((await client.get("/dags/etl/dagRuns?offset=100")).json()["dag_runs"]) == 3


async def test_a_lost_database_is_unhealthy_and_not_an_error(app: FastAPI, client: httpx.AsyncClient) -> None:
    await app.state.leoflow.pool.close()
    health = (await client.get("/monitor/health")).json()
    assert health["metadatabase"] == {"status": "unhealthy"}
