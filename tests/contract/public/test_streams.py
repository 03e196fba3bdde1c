"""What is streamed is read piece by piece, and whoever receives it slowly holds no connection to the database."""

import json
from itertools import pairwise
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from leoflow.api.app import create_app
from leoflow.api.public import logs
from leoflow.api.settings import ApiSettings
from leoflow.db.pool import Pool, open_pool
from tests.contract.public.stage import Stage

pytestmark = pytest.mark.anyio

RUN = "/api/v2/dags/etl/dagRuns/r"
LOG = f"{RUN}/taskInstances/extract/logs/1"
NDJSON = {"accept": "application/x-ndjson"}


async def chunks_of_log(stage: Stage, count: int, size: int) -> list[str]:
    """A finished run whose first task has a log of that many chunks of two lines each; returns the lines' texts."""
    await stage.start("etl", "r")
    await stage.work({"extract": {"log": []}})
    events = [f"{number:06}" + "x" * size for number in range(2 * count)]
    for first, second in zip(events[::2], events[1::2], strict=True):
        await stage.one(
            "insert into leoflow_core.task_log"
            " (run_key, task_idx, map_index, try_number, attempt_id, is_last, lines, line_count)"
            " select run_key, task_idx, map_index, try_number, attempt_id, true, %s, 2 from leoflow_core.task_log"
            " where task_idx = (select task_idx from leoflow_core.task where task_id = 'extract') limit 1",
            "".join(json.dumps({"event": event}) + "\n" for event in (first, second)),
        )
    return events


class SlowClient:
    """Calls the application and notes in which order the log is read and the answer is sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, int]] = []
        self.body = b""
        read = logs.store.rows

        async def rows(conn: Any, query: Any, parameters: Any) -> Any:
            found = await read(conn, query, parameters)
            self.events.append(("read", sum(len(row.get("lines", "")) for row in found)))
            return found

        monkeypatch.setattr(logs.store, "rows", rows)

    async def get(self, app: FastAPI, path: str, headers: dict[str, str]) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if body := message.get("body"):
                self.events.append(("sent", len(body)))
                self.body += body

        path, _, query = path.partition("?")
        token = app.state.leoflow.signer.issue("admin", "admin", 600)
        given = {**headers, "authorization": f"Bearer {token}", "host": "leoflow.test"}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), text.encode()) for name, text in given.items()],
            "server": ("leoflow.test", 80),
        }
        await app(scope, receive, send)


@pytest.mark.parametrize("headers", [{"accept": "application/json"}, NDJSON], ids=["document", "lines"])
async def test_a_log_is_sent_while_it_is_read(
    app: FastAPI, stage: Stage, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    events = await chunks_of_log(stage, 40, 500)
    monkeypatch.setattr(logs, "BYTES_PER_READ", 4000)
    monkeypatch.setattr(logs, "_PIECE", 2000)
    client = SlowClient(monkeypatch)
    await client.get(app, f"{LOG}?full_content=true", headers)
    if headers is NDJSON:
        lines = [json.loads(line) for line in client.body.splitlines()]
    else:
        document = json.loads(client.body)
        lines = document["content"]
        assert document["continuation_token"] is None
    assert [line["event"] for line in lines[3:]] == events
    assert max(size for kind, size in client.events if kind == "read") < 6000
    assert max(size for kind, size in client.events if kind == "sent") < 3000
    # Between two reads, what was read is sent.
    kinds = [kind for kind, size in client.events if size]
    assert kinds.count("read") > 8
    assert not any(pair == ("read", "read") for pair in pairwise(kinds))


async def test_a_document_ends_at_its_limit_with_a_token_for_the_rest(
    client: httpx.AsyncClient, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = await chunks_of_log(stage, 7, 10)
    monkeypatch.setattr(logs, "CHUNKS_PER_ANSWER", 3)
    monkeypatch.setattr(logs, "CHUNKS_PER_READ", 2)
    found: list[str] = []
    token, answers = None, 0
    while answers == 0 or token is not None:
        path = LOG.removeprefix("/api/v2")
        body = (await client.get(path, params={} if token is None else {"token": token})).json()
        found += [line["event"] for line in body["content"]]
        token, answers = body["continuation_token"], answers + 1
    assert found[3:] == events
    assert answers == 3


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (LOG, {}),
        (LOG, NDJSON),
        (f"{RUN}/wait?interval=1&result=extract", {}),
        ("/ui/grid/ti_summaries/etl?run_ids=r", {}),
    ],
    ids=["document", "lines", "wait", "summaries"],
)
async def test_a_stream_has_given_its_first_connection_back(
    app: FastAPI, stage: Stage, settings: ApiSettings, pool: Pool, path: str, headers: dict[str, str]
) -> None:
    await stage.start("etl", "r")
    await stage.work()
    single = await open_pool(pool.conninfo, max_size=1)
    single.timeout = 5
    try:
        alone = create_app(single, settings)
        token = alone.state.leoflow.signer.issue("admin", "admin", 600)
        transport = httpx.ASGITransport(app=alone)
        async with httpx.AsyncClient(transport=transport, base_url="http://leoflow.test") as client:
            answer = await client.get(path, headers={**headers, "Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        assert answer.text
    finally:
        await single.close()
