"""A triggerer is killed while tasks wait: none of them is lost, none goes on twice."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.integration.triggerer.conftest import triggerer_of
from tests.integration.triggerer.watched import payloads, register, seen
from tests.integration.worker.harness import Harness
from tests.support.lite import make_home

pytestmark = pytest.mark.anyio

WAITING = 20
DAG = f"""
from airflow.sdk import BaseOperator
class Wait(BaseOperator):
    def execute(self, context):
        from gate import Gate
        self.defer(trigger=Gate(), method_name="go_on")
    def go_on(self, context, event):
        print("went on")
with DAG("gated", max_active_tasks=50):
    for n in range({WAITING}):
        Wait(task_id=f"t{{n}}")
"""
GATE = """
import asyncio
from pathlib import Path
from airflow.triggers.base import BaseTrigger, TriggerEvent
class Gate(BaseTrigger):
    def serialize(self):
        return "gate.Gate", {{}}
    async def run(self):
        while not Path({gate!r}).exists():
            await asyncio.sleep(0.05)
        yield TriggerEvent("open")
"""


async def test_a_killed_triggerers_waiting_tasks_all_go_on_once(harness: Harness, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    root = harness.home.parent / "gated"
    root.mkdir()
    (root / "gate.py").write_text(GATE.format(gate=str(gate)))
    await harness.register(DAG, name="gated")
    environment = {
        **os.environ,
        "LEOFLOW_DATABASE_URL": harness.dsn,
        "LEOFLOW_HOME": str(make_home(tmp_path)),
        "LEOFLOW_TRIGGERER__LEASE_SECONDS": "3",
        "LEOFLOW_TRIGGERER__HEARTBEAT_SECONDS": "0.5",
    }
    command = [sys.executable, "-m", "leoflow", "triggerer"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)
    try:
        key = await harness.trigger("gated")
        held = f"select count(*) = {WAITING} from leoflow_core.trigger where triggerer_key is not null"
        await harness.until(held, timeout=60)
        started = (
            "select count(distinct task_idx) = {} from leoflow_core.task_log where lines like '%%Trigger starting%%'"
        )
        await harness.until(started.format(WAITING), timeout=60)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    gate.touch()
    async with triggerer_of(harness) as second:
        run = await harness.finished(key)
        assert second.waiting == 0
    assert {one.state for one in run.tasks.values()} == {"success"}
    assert {one.try_number for one in run.tasks.values()} == {1}
    assert all(run.messages(task_id).count("went on") == 1 for task_id in run.tasks)
    assert await harness.fetch("select count(*) from leoflow_core.trigger") == [(0,)]


async def test_two_triggerers_share_the_work_and_each_event_counts_once(harness: Harness, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    root = harness.home.parent / "gated"
    root.mkdir(exist_ok=True)
    (root / "gate.py").write_text(GATE.format(gate=str(gate)))
    await harness.register(DAG, name="gated")
    environment = {
        **os.environ,
        "LEOFLOW_DATABASE_URL": harness.dsn,
        "LEOFLOW_HOME": str(make_home(tmp_path)),
    }
    command = [sys.executable, "-m", "leoflow", "triggerer", "--capacity", "7"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)
    try:
        key = await harness.trigger("gated")
        await harness.until("select count(*) = 7 from leoflow_core.trigger where triggerer_key is not null", timeout=60)
        async with triggerer_of(harness):
            shared = "select count(distinct triggerer_key) = 2 and count(triggerer_key) = {} from leoflow_core.trigger"
            await harness.until(shared.format(WAITING))
            gate.touch()
            run = await harness.finished(key)
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert {one.state for one in run.tasks.values()} == {"success"}
    assert all(run.messages(task_id).count("went on") == 1 for task_id in run.tasks)


async def test_a_killed_triggerers_watchers_go_on_in_another(harness: Harness, tmp_path: Path) -> None:
    source = tmp_path / "source"
    await register(harness, "survivor", source)
    environment = {
        **os.environ,
        "LEOFLOW_DATABASE_URL": harness.dsn,
        "LEOFLOW_HOME": str(make_home(tmp_path)),
        "LEOFLOW_TRIGGERER__LEASE_SECONDS": "3",
        "LEOFLOW_TRIGGERER__HEARTBEAT_SECONDS": "0.5",
    }
    command = [sys.executable, "-m", "leoflow", "triggerer"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)
    try:
        source.write_text("\n".join(f"first {n}" for n in range(20)))
        await seen(harness, "survivor", 1)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with triggerer_of(harness):
        while source.read_text():
            await asyncio.sleep(0.02)
        found = await payloads(harness, "survivor")
    # A line is taken away after its event was recorded, so a kill in between may show one twice, and never loses one.
    assert sorted(set(found), key=found.index) == [f"first {n}" for n in range(20)]
    assert len(found) <= 21
