"""Whatever is asked, the answer is a 4xx with a reason or a true answer, never a 500."""

import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from tests.contract.public.shapes import golden
from tests.contract.public.stage import Stage

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


async def test_texts_postgres_cannot_store_are_refused(client: httpx.AsyncClient, stage: Stage) -> None:
    for path, body in (
        ("/variables", {"key": "a\x00b", "value": "x"}),
        ("/pools", {"name": "a\x00b", "slots": 1}),
        ("/dags/etl/dagRuns", {"logical_date": None, "note": "a\x00b"}),
        ("/dags/etl/dagRuns", {"logical_date": None, "conf": {"a": "\x00"}}),
        ("/connections", {"connection_id": "a", "conn_type": "http", "host": "\x00"}),
    ):
        answer = await client.post(path, json=body)
        assert answer.status_code in (400, 422), (path, answer.text)


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
