"""The commands that talk to a server, against a real one: what they print, and their exit codes."""

import asyncio
import contextlib
import io
import json
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leoflow.api.app import create_app
from leoflow.api.auth import users
from leoflow.api.public import logs
from leoflow.api.settings import ApiSettings
from leoflow.cli import follow
from leoflow.cli.main import main
from leoflow.db.pool import Pool
from leoflow.lite.server import serve
from tests.contract.public.stage import ETL, FLAKY, Stage

pytestmark = pytest.mark.anyio

LAST_LINES = """
    insert into leoflow_core.task_log
        (run_key, task_idx, map_index, try_number, attempt_id, is_last, lines, line_count)
    select run_key, task_idx, map_index, try_number, attempt_id, true, %s, 1 from leoflow_core.task_log
"""


@dataclass
class Shell:
    """Runs command lines, off the event loop that serves them."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    err: str = ""

    async def run(self, *arguments: str, code: int = 0, stdin: str = "") -> str:
        self.monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        found = await asyncio.to_thread(main, list(arguments))
        out, self.err = self.capsys.readouterr()
        assert found == code, (arguments, found, out, self.err)
        return out

    async def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(await self.run(*arguments, "--output", "json", code=code))

    async def error(self, *arguments: str, code: int) -> list[str]:
        await self.run(*arguments, code=code)
        return self.err.splitlines()


@pytest.fixture
async def stage(pool: Pool) -> Stage:
    made = Stage(pool)
    await made.register(ETL, FLAKY)
    return made


@pytest.fixture
async def url(pool: Pool, home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    home.mkdir()
    async with pool.connection() as conn:
        await users.put_user(conn, "admin", "secret", "admin")
    app = create_app(pool, ApiSettings(home=home, host="0.0.0.0"))
    ready = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as bound:
        server = asyncio.create_task(serve(app, bound, ready))
        await ready.wait()
        found = f"http://127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setenv("LEOFLOW_SERVER_URL", found)
        yield found
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str) -> Shell:
    return Shell(capsys, monkeypatch)


async def working(stage: Stage, outcomes: dict[str, Any] | None = None) -> None:
    while True:
        await stage.work(outcomes, rounds=1)
        await asyncio.sleep(0.02)


async def test_dags(shell: Shell, stage: Stage) -> None:
    assert (await shell.run("dags", "list")).splitlines()[1].startswith("etl\tFalse\t0 6 * * *")
    assert [row["dag_id"] for row in await shell.json("dags", "list", "--tag", "flaky")] == ["flaky"]
    assert await shell.run("dags", "pause", "etl") == "etl is paused\n"
    assert [row["dag_id"] for row in await shell.json("dags", "list", "--paused")] == ["etl"]
    assert (await shell.json("dags", "show", "etl"))["is_paused"] is True
    assert await shell.run("dags", "unpause", "etl") == "etl is active\n"
    assert [row["version_number"] for row in await shell.json("dags", "versions", "etl")] == [1]
    error, hint = await shell.error("dags", "show", "nope", code=1)
    assert error.startswith("error: The Dag with ID: `nope` was not found: http://127.0.0.1:")
    assert hint.startswith("hint: ")
    await shell.error("dags", "delete", "flaky", code=2)
    assert await shell.run("dags", "delete", "flaky", "--yes") == "flaky is deleted\n"


async def test_a_run_from_trigger_to_deletion(shell: Shell, stage: Stage) -> None:
    worker = asyncio.create_task(working(stage))
    day = "2026-01-01"
    run = await shell.json("runs", "trigger", "etl", "--conf", '{"n": 4}', "--logical-date", day, "--wait")
    worker.cancel()
    assert (run["state"], run["conf"], run["logical_date"]) == ("success", {"n": 4}, "2026-01-01T00:00:00Z")
    key = run["dag_run_id"]
    assert [row["dag_run_id"] for row in await shell.json("runs", "list", "etl", "--state", "success")] == [key]
    assert (await shell.json("runs", "show", "etl", key))["run_type"] == "manual"
    assert {row["state"] for row in await shell.json("tasks", "states", "etl", key)} == {"success"}
    logs = (await shell.run("runs", "logs", "etl", key)).splitlines()
    assert sorted(line.split("|")[0].split()[-1] for line in logs) == ["extract", "load", "transform"]
    assert all(line.endswith("hello") for line in logs)
    assert (await shell.run("runs", "logs", "etl", key, "--task", "load", "--try", "1")).endswith("hello\n")
    assert len((await shell.run("runs", "logs", "etl", key, "--follow", "--output", "json")).splitlines()) == 3
    await shell.run("runs", "note", "etl", key, "look at it")
    assert (await shell.json("runs", "show", "etl", key))["note"] == "look at it"
    assert len(await shell.json("runs", "clear", "etl", key, "--dry-run")) == 3
    assert (await shell.json("runs", "clear", "etl", key))["state"] in ("queued", "running")
    assert await shell.run("runs", "cancel", "etl", key) == f"{key} is failed\n"
    assert await shell.run("runs", "set-state", "etl", key, "success") == f"{key} is success\n"
    await shell.run("runs", "delete", "etl", key, "--yes")
    assert await shell.json("runs", "list", "etl") == []


async def test_following_a_log_ends_with_lines_that_come_after_the_end_of_the_run(
    shell: Shell, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.start("etl", "r")
    await stage.work()
    await stage.one("update leoflow_core.task_log set is_last = false")
    loop = asyncio.get_running_loop()
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        """The worker goes on while the command waits: with nothing first, then with the last lines."""
        looks.append(seconds)
        if len(looks) == 2:
            asyncio.run_coroutine_threadsafe(stage.one(LAST_LINES, '{"event":"told after the end"}\n'), loop).result()

    monkeypatch.setattr(logs, "LAST_LINES_SECONDS", 0)
    monkeypatch.setattr(follow, "time", SimpleNamespace(sleep=sleep))
    lines = (await shell.run("runs", "logs", "etl", "r", "--follow")).splitlines()
    tasks = ("extract", "load", "transform")
    assert sorted(lines[:3]) == [f"10:00:00Z INFO    {task} | hello" for task in tasks]
    assert sorted(lines[3:]) == [f"{task} | told after the end" for task in tasks]
    assert len(looks) == 2


async def test_waiting_says_by_its_exit_code_how_it_ended(shell: Shell, stage: Stage, url: str) -> None:
    error, hint = await shell.error("runs", "trigger", "flaky", "--wait", "--timeout", "0.1", code=3)
    assert "still running after 0.1 s: flaky manual__" in error
    worker = asyncio.create_task(working(stage, {"boom": {"states": ["failed", "failed"]}}))
    error, hint = await shell.error("runs", "trigger", "flaky", "--wait", code=1)
    worker.cancel()
    assert error.startswith("error: the run ended as failed: flaky manual__")
    assert hint.startswith("hint: see `leoflow runs logs flaky")
    error, hint = await shell.error("runs", "trigger", "flaky", "--server", "http://127.0.0.1:1", code=4)
    assert error.startswith("error: the server cannot be reached")
    for arguments in (["--conf", "{"], ["--conf", "[1]"], ["--logical-date", "yesterday"]):
        await shell.error("runs", "trigger", "etl", *arguments, code=2)
    error, _ = await shell.error("runs", "trigger", "etl", "--conf", '{"n": "x"}', code=1)
    assert "Invalid input for param n" in error


async def test_tasks_are_cleared_and_marked(shell: Shell, stage: Stage) -> None:
    await stage.start("etl", "r", logical_date="2026-01-01T00:00:00Z")
    await stage.work({"transform": {"states": ["failed"]}})
    assert [row["task_id"] for row in await shell.json("tasks", "list", "etl")] == ["extract", "load", "transform"]
    found = await shell.json("tasks", "clear", "etl", "transform", "--run", "r", "--downstream", "--dry-run")
    assert sorted(row["task_id"] for row in found) == ["load", "transform"]
    found = await shell.json("tasks", "mark", "etl", "r", "transform", "success", "--dry-run")
    assert [row["task_id"] for row in found] == ["transform"]
    await shell.json("tasks", "mark", "etl", "r", "transform", "success")
    assert await stage.work() == 1  # load, which had failed with it
    assert len(await shell.json("tasks", "clear", "etl", "--start", "2026-01-01", "--end", "2026-01-02")) == 3
    await shell.run("tasks", "note", "etl", "r", "load", "see ticket 7")
    await shell.error("tasks", "mark", "etl", "r", "load", "done", code=2)
    await shell.error("tasks", "clear", "etl", code=2)
    await shell.error("tasks", "clear", "etl", "load[x]", "--run", "r", code=2)


async def test_a_backfill_is_planned_made_and_cancelled(shell: Shell, stage: Stage) -> None:
    span = ["etl", "--from", "2026-01-01", "--to", "2026-01-04"]
    assert len(await shell.json("backfill", "create", *span, "--dry-run")) == 3
    made = await shell.json("backfill", "create", *span, "--max-active-runs", "1")
    key = str(made["id"])
    assert [row["id"] for row in await shell.json("backfill", "list", "etl")] == [made["id"]]
    assert (await shell.json("backfill", "pause", key))["is_paused"] is True
    assert (await shell.json("backfill", "unpause", key))["is_paused"] is False
    assert [run["state"] for run in (await shell.json("backfill", "show", key))["runs"]] == ["queued"] * 3
    assert (await shell.json("backfill", "cancel", key))["completed_at"]
    error, _ = await shell.error("backfill", "cancel", key, code=1)
    assert "Backfill is already completed." in error
    await shell.error("backfill", "create", *span, "--reprocess", "all", code=2)


async def test_variables_pools_and_connections_go_there_and_back(shell: Shell, stage: Stage, tmp_path: Path) -> None:
    assert await shell.run("variables", "set", "v", "1", "--description", "one") == "v created\n"
    assert await shell.run("variables", "set", "v", "-", stdin="two\n") == "v changed\n"
    assert (await shell.json("variables", "get", "v"))["value"] == "two"
    assert await shell.run("pools", "set", "etl", "3") == "etl created\n"
    assert await shell.run("pools", "set", "etl", "4", "--include-deferred") == "etl changed\n"
    await shell.error("pools", "set", "etl", "--", "-2", code=2)
    made = await shell.run("connections", "set", "db", "postgres", "--host", "h", "--password", stdin="pw\n")
    assert made == "db created\n"
    for noun, key in (("variables", "v"), ("pools", "etl"), ("connections", "db")):
        file = tmp_path / f"{noun}.yaml"
        await shell.run(noun, "export", str(file))
        assert file.stat().st_mode & 0o777 == 0o600
        await shell.run(noun, "delete", key, "--yes")
        assert f"{key} created" in await shell.run(noun, "import", str(file))
        assert key in await shell.run(noun, "list")
    assert (await shell.json("pools", "get", "etl"))["include_deferred"] is True
    airflow = tmp_path / "airflow.json"
    airflow.write_text('{"plain": "x", "many": {"value": "y", "description": "z"}}')
    assert await shell.run("variables", "import", str(airflow)) == "plain created\nmany created\n"
    airflow.write_text("[1]")
    error, _ = await shell.error("variables", "import", str(airflow), code=2)
    assert error.startswith("error: not a list of variables")


async def test_signing_in_and_tokens(shell: Shell, stage: Stage, url: str, home: Path) -> None:
    token = (await shell.run("auth", "create-token")).strip()
    assert token.count(".") == 2
    (home / "jwt-secret").rename(home / "elsewhere")
    error, hint = await shell.error("dags", "list", code=4)
    assert (error, "leoflow auth login" in hint) == (f"error: you are not signed in: {url}", True)
    error, _ = await shell.run("auth", "login", code=4, stdin="wrong\n"), shell.err
    assert "Invalid credentials" in shell.err
    assert await shell.run("auth", "login", stdin="secret\n") == f"signed in to {url} as admin\n"
    assert (home / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert len(await shell.json("dags", "list")) == 2
    assert await shell.run("auth", "logout") == "signed out\n"
    shell.monkeypatch.setenv("LEOFLOW_TOKEN", token)
    assert len(await shell.json("dags", "list")) == 2


async def test_users_are_made_in_the_database(shell: Shell, database_url: str) -> None:
    made = await shell.run("auth", "create-user", "ann", "--role", "op", "--database-url", database_url, stdin="pw\n")
    assert made == "ann is op\n"
    assert (await shell.run("auth", "create-token", "-u", "ann", stdin="pw\n")).count(".") == 2
    await shell.error("auth", "create-user", "bob", "--role", "king", code=2)


async def test_a_compiled_dag_is_pushed(shell: Shell, stage: Stage, tmp_path: Path) -> None:
    from leoflow.spec import canonical_bytes

    file = tmp_path / "dag.json"
    file.write_bytes(canonical_bytes(ETL))
    assert (await shell.json("push", str(file)))[0]["result"] == "unchanged"
    file.write_text("{}")
    await shell.error("push", str(file), code=2)
    file.write_text('{"dag_id": "etl", "tasks": ' + "[" * 100_000 + "]" * 100_000 + "}")
    assert "not JSON (" in (await shell.error("push", str(file), code=2))[0]
    file.write_text('{"dag_id": "etl", "description": "a\\u0000b"}')
    assert "body.description: a NUL character" in (await shell.error("push", str(file), code=1))[0]
    with file.open("w") as big:
        big.write('{"dag_id": "etl", "description": "')
        big.writelines("x" * 1_000_000 for _ in range(105))
        big.write('"}')
    assert "larger than 32 MiB" in (await shell.error("push", str(file), code=1))[0]


async def test_a_conf_that_cannot_be_kept_is_a_usage_error(shell: Shell, stage: Stage) -> None:
    for conf in ('{"a": NaN}', '{"a": "\\ud800"}', '{"a": %s}' % ("[" * 300 + "]" * 300), "[" * 100_000, "[1]", "{"):
        error, hint = await shell.error("runs", "trigger", "etl", "--conf", conf, code=2)
        assert "--conf" in error and hint.startswith("hint: ")


@pytest.fixture
def builder_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `podman` on the PATH that notes what it is asked for; it fails to push images named `broken`."""
    script = tmp_path / "bin" / "podman"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$1" >> {tmp_path}/calls\ncase "$*" in "push "*broken*) echo denied; exit 1;; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return tmp_path / "calls"


async def test_a_project_is_deployed_and_run(shell: Shell, stage: Stage, tmp_path: Path, builder_log: Path) -> None:
    project = str(tmp_path / "shop")
    await shell.run("init", project)
    deploy = ("deploy", project, "--builder", "podman", "--image")

    await shell.error(*deploy, "reg.example/broken:1", code=1)
    assert "denied" in shell.err
    assert "shop" not in [dag["dag_id"] for dag in await shell.json("dags", "list")], "registered without its image"

    assert "unpause" in (await shell.error(*deploy, "reg.example/shop:1", "--trigger", "--wait", code=1))[-1]
    assert builder_log.read_text().split() == ["build", "push"] * 2
    await shell.error(*deploy, "reg.example/shop:1", "--wait", code=2)

    outcome = asyncio.create_task(shell.json(*deploy, "reg.example/shop:1", "--unpause", "--trigger", "--wait"))
    worker = asyncio.create_task(working(stage))
    (row,) = await outcome
    worker.cancel()
    assert (row["dag_id"], row["result"], row["state"]) == ("shop", "unchanged", "success")
