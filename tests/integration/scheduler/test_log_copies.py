"""Logs are copied to an object store when attempts have ended, and read back when the database has them no more."""

import functools
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest

from leoflow import engine
from leoflow.api.app import create_app
from leoflow.api.auth import users
from leoflow.api.settings import ApiSettings
from leoflow.config import LogsSettings
from leoflow.db.pool import Pool
from leoflow.engine import LogChunk
from leoflow.errors import LeoflowError
from leoflow.log_store import LogStore, object_name
from leoflow.scheduler.log_copies import copy_logs, enable
from tests.contract.public.stage import FLAKY, Stage
from tests.support.object_store import STORES, ObjectStore, object_store

pytestmark = pytest.mark.anyio

RUN = "odd: run+1"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def settings(place: Path) -> LogsSettings:
    return LogsSettings(store_url=f"file://{place}")


@pytest.fixture
async def stage(pool: Pool, database_url: str, settings: LogsSettings) -> Stage:
    """A task with two tries, both ended, each with a log; logs are noted for copying."""
    await enable(database_url, settings)
    made = Stage(pool)
    await made.register(FLAKY)
    await made.start("flaky", RUN)
    made.worker_key = await made.one("select leoflow_core.register_worker('stage', 1, 16)")
    return made


async def attempt(stage: Stage, *lines: str, state: str = "success") -> Any:
    """Run the next attempt with a log of these lines."""
    [claimed] = await stage._claim()
    await append(stage, claimed, *lines)
    async with stage.pool.connection() as conn:
        await engine.finish(conn, stage.worker_key, [engine.Outcome(_ref(claimed), state)])
        await engine.promote_due(conn)
    return claimed


def _ref(claimed: Any) -> engine.AttemptRef:
    place = (claimed[name] for name in ("run_key", "task_idx", "map_index"))
    return engine.AttemptRef(*place, UUID(claimed["attempt_id"]))


async def append(stage: Stage, claimed: Any, *lines: str) -> None:
    key = (claimed["run_key"], claimed["task_idx"], claimed["map_index"], claimed["try_number"])
    async with stage.pool.connection() as conn:
        for line in lines:
            chunk = LogChunk(*key, f'{{"event":"{line}"}}\n', 1, UUID(claimed["attempt_id"]), is_last=True)
            await engine.append_log(conn, [chunk])


def copies(place: Path) -> dict[str, str]:
    return {str(path.relative_to(place)): path.read_text() for path in place.rglob("*") if path.is_file()}


@pytest.fixture
async def client(pool: Pool, home: Path, settings: LogsSettings) -> AsyncIterator[httpx.AsyncClient]:
    home.mkdir()
    async with pool.connection() as conn:
        await users.put_user(conn, "admin", "x", "admin")
    app = create_app(pool, ApiSettings(home=home, host="0.0.0.0", log_store_url=settings.store_url))
    token = app.state.leoflow.signer.issue("admin", "admin", 600)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://leoflow.test/api/v2",
        headers={"Authorization": f"Bearer {token}"},
    ) as found:
        yield found


async def test_each_ended_try_is_copied_once_under_a_name_of_its_own(
    stage: Stage, database_url: str, settings: LogsSettings, place: Path
) -> None:
    await attempt(stage, "first", "second", state="failed")
    await attempt(stage, "third")
    assert await copy_logs(database_url, settings) == 2
    assert await copy_logs(database_url, settings) == 0
    folder = "dag_id=flaky/run_id=odd:%20run+1/task_id=boom"
    assert copies(place) == {
        f"{folder}/attempt=1.log": '{"event":"first"}\n{"event":"second"}\n',
        f"{folder}/attempt=2.log": '{"event":"third"}\n',
    }


async def test_a_running_attempt_is_not_copied_and_late_lines_are_copied_again(
    stage: Stage, database_url: str, settings: LogsSettings, place: Path
) -> None:
    [claimed] = await stage._claim()
    await append(stage, claimed, "one")
    assert await copy_logs(database_url, settings) == 0
    async with stage.pool.connection() as conn:
        await engine.finish(conn, stage.worker_key, [engine.Outcome(_ref(claimed), "success")])
    assert await copy_logs(database_url, settings) == 1
    await append(stage, claimed, "last words")
    assert await copy_logs(database_url, settings) == 1
    assert list(copies(place).values()) == ['{"event":"one"}\n{"event":"last words"}\n']


async def test_a_store_that_is_away_delays_copies_and_gives_up_in_the_end(
    stage: Stage, database_url: str, settings: LogsSettings, place: Path
) -> None:
    await attempt(stage, "kept")
    place.write_text("a file where the directory should be")
    away = settings.model_copy(update={"copy_attempts": 2, "store_url": f"file://{place.parent}/logs"})
    store = LogStore(f"file://{place.parent}/other")  # the module works
    assert await store.read("no/such.log") is None
    with pytest.raises(LeoflowError, match="cannot be used"):
        await copy_logs(database_url, away)
    broken = settings.model_copy(update={"copy_attempts": 2, "store_url": "s3://bucket/prefix"})
    with _RefusingServer() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "k")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        patch.setenv("AWS_REGION", "r")
        assert await copy_logs(database_url, broken) == 0
        due = "select failures from leoflow_core.log_copy where due_at > clock_timestamp() + interval '5 s'"
        assert await stage.one(due) == 1
        assert await copy_logs(database_url, broken) == 0  # not before its time
        await stage.one("update leoflow_core.log_copy set due_at = clock_timestamp()")
        assert await copy_logs(database_url, broken) == 0
    assert await stage.one("select count(*) from leoflow_core.log_copy") == 0


class _RefusingServer:
    """An HTTP server that answers every upload with 501."""

    def __enter__(self) -> str:
        handler = functools.partial(_Silent, directory="/nonexistent")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


async def test_a_log_the_database_dropped_is_read_back(
    stage: Stage, client: httpx.AsyncClient, database_url: str, settings: LogsSettings
) -> None:
    odd = "line with \\u2028 in it"
    await attempt(
        stage, *(f"line {number}" for number in range(300)), "a line\u2028with a separator", odd, state="failed"
    )
    path = "/dags/flaky/dagRuns/" + quote(RUN) + "/taskInstances/boom/logs/1"

    async def events(accept: str) -> list[str]:
        answer = await client.get(path, headers={"Accept": accept})
        assert answer.status_code == 200, answer.text
        if "ndjson" in accept:
            lines = [httpx.Response(200, text=line).json() for line in answer.text.split("\n") if line]
        else:
            assert answer.json()["continuation_token"] is None
            lines = answer.json()["content"]
        return [line["event"] for line in lines]

    before = {accept: await events(accept) for accept in ("application/json", "application/x-ndjson")}
    assert "a line\u2028with a separator" in before["application/json"]
    await copy_logs(database_url, settings)
    await stage.one("delete from leoflow_core.task_log")
    await stage.one("select leoflow_core.retire_worker(%s)", stage.worker_key)
    assert {accept: await events(accept) for accept in before} == before


def test_names_are_safe_and_distinct_whatever_the_ids() -> None:
    names = {object_name("d" * 250, run, "t", -1, 1) for run in ("../..", "a/b", "a%2Fb", "ü" * 250, "ü" * 249 + "u")}
    assert len(names) == 5
    for name in names:
        assert ".." not in name.split("/")
        assert all(0 < len(segment.encode()) <= 255 for segment in name.split("/"))
        assert len(name.split("/")) == 4
    assert "map_index=3" in object_name("d", "r", "t", 3, 1)


@pytest.mark.parametrize("url", ["ftp://x/y", "logs", "http://x"])
def test_a_store_of_another_kind_is_refused_with_the_ones_there_are(url: str) -> None:
    with pytest.raises(LeoflowError) as caught:
        LogStore(url)
    assert "s3://" in caught.value.hint


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[ObjectStore]:
    """What S3, Google Cloud Storage and Azure would be."""
    with object_store() as started, pytest.MonkeyPatch.context() as patch:
        started.configure(patch, tmp_path)
        yield started


async def read(url: str, name: str) -> bytes:
    found = await LogStore(url).read(name)
    assert found is not None
    return b"".join([piece async for piece in found])


@pytest.mark.parametrize("kind", STORES)
async def test_logs_of_any_size_go_to_each_store_and_back(remote: ObjectStore, kind: str) -> None:
    async def lines(count: int) -> AsyncIterator[bytes]:
        for number in range(count):
            yield b"%07d " % number * 8192 + b"\n"

    name = object_name("d", RUN, "t", 3, 1)
    for count in (1, 300):  # one request, and parts of 8 MiB
        await LogStore(STORES[kind]).write(name, lines(count))
        assert await read(STORES[kind], name) == b"".join([piece async for piece in lines(count)])
    assert [path.removeprefix("/bucket").removeprefix("/container") for path in remote.objects] == [
        "/prefix/dag_id=d/run_id=odd:%20run+1/task_id=t/map_index=3/attempt=1.log"
    ]
    assert await LogStore(STORES[kind]).read("no/such.log") is None
    assert remote.authorisations & {"AWS4-HMAC-SHA256", "Bearer", "SharedKey"}


async def test_a_log_goes_from_the_database_to_s3(stage: Stage, database_url: str, remote: ObjectStore) -> None:
    await attempt(stage, *(f"line {number}" for number in range(50)))
    assert await copy_logs(database_url, LogsSettings(store_url=STORES["s3"])) == 1
    assert (await read(STORES["s3"], object_name("flaky", RUN, "boom", -1, 1))).count(b"\n") == 50
