"""Asset watchers: their triggers run in the project's environment, and each thing they see is one event."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from leoflow.engine import create_asset_runs
from leoflow.triggerer import Triggerer
from tests.integration.triggerer.watched import register, seen
from tests.integration.worker.harness import Harness
from tests.support.environments import default_python

pytestmark = pytest.mark.anyio

TRUTH = Path(__file__).parents[2] / "truth" / "airflow_examples.json"


async def test_airflows_example_starts_when_its_file_comes(
    harness: Harness, triggerer: Triggerer, tmp_path: Path
) -> None:
    awaited = tmp_path / "awaited"
    where = "import airflow; print(airflow.__path__[0])"
    process = await asyncio.create_subprocess_exec(
        str(default_python()), "-c", where, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    package = Path((await process.communicate())[0].decode().splitlines()[-1])
    source = (package / "example_dags" / "example_asset_with_watchers.py").read_text()
    source = source.replace("from __future__ import annotations", "").replace("/tmp/test", str(awaited))
    await harness.register(source, name="watchers_example")
    awaited.touch()
    await harness.until("select sum(events) = 1 from leoflow.asset_watchers where asset_name = 'example_asset'")
    async with harness.pool.connection() as connection:
        await create_asset_runs(connection)
    [(run_key,)] = await harness.fetch(
        "select run_key from leoflow.dag_runs where dag_id = 'example_asset_with_watchers'"
    )
    run = await harness.finished(run_key)
    assert not awaited.exists()
    recorded = json.loads(TRUTH.read_text())["example_asset_with_watchers"]
    assert {"state": run.state, "tasks": {name: {"-1": one.state} for name, one in run.tasks.items()}} == recorded


async def test_events_come_in_order_and_a_run_is_told_of_them(
    harness: Harness, triggerer: Triggerer, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    await register(harness, "ordered", source)
    source.write_text("a\nb\nc")
    assert await seen(harness, "ordered", 3) == ["a", "b", "c"]
    async with harness.pool.connection() as connection:
        await create_asset_runs(connection)
    [(run_key,)] = await harness.fetch("select run_key from leoflow.dag_runs where dag_id = 'ordered'")
    run = await harness.finished(run_key)
    told = [{"from_trigger": True, "payload": {"line": line}} for line in "abc"]
    assert run.xcoms["use", "return_value"] == told
    while source.read_text():  # it goes on once the event is recorded
        await asyncio.sleep(0.01)


async def test_a_failing_trigger_is_reported_and_started_again(
    harness: Harness, triggerer: Triggerer, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_text("raise")
    await register(harness, "failing", source)
    failure = await harness.until("select failure from leoflow.asset_watchers where dag_id = 'failing'")
    assert "the source is broken" in failure
    source.write_text("again")
    assert await seen(harness, "failing", 1) == ["again"]


async def test_a_trigger_stops_with_its_last_unpaused_dag(
    harness: Harness, triggerer: Triggerer, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    await register(harness, "paused", source)
    source.write_text("a")
    assert await seen(harness, "paused", 1) == ["a"]
    await harness.fetch("select leoflow.set_paused('paused', true)")
    gone = "select not exists (select from leoflow_core.watcher_trigger where kwargs ->> 'path' = %s)"
    await harness.until(gone, str(source))
    source.write_text("b")
    await harness.fetch("select leoflow.set_paused('paused', false)")
    assert await seen(harness, "paused", 1) == ["a", "b"]


async def test_a_killed_process_of_triggers_is_replaced_and_nothing_is_lost(
    harness: Harness, triggerer: Triggerer, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    await register(harness, "killed", source)
    source.write_text("process")
    [process] = await seen(harness, "killed", 1)
    while source.read_text():
        await asyncio.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    source.write_text("b\nc")
    assert await seen(harness, "killed", 3) == [process, "b", "c"]
