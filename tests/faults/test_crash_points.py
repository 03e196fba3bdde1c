"""Crashes between two transactions that belong together: what waits for the second is neither lost nor doubled."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from leoflow.db.embedded import EmbeddedPostgres
from tests.support.lite import Lite, clean_up, lite, make_home, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

NOTE = """
import os, pathlib, time
from airflow.sdk import DAG, Asset, BaseOperator, task

HERE = pathlib.Path({here!r})
def note(line):
    descriptor = os.open(HERE / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{{line}}\\n".encode())
    os.close(descriptor)
def wait():
    while not (HERE / "gate").exists():
        time.sleep(0.05)
"""
PIPELINE = """
made = Asset("made")
def told(context):
    note("told")
    wait()
with DAG("producer", on_success_callback=told):
    @task(outlets=[made])
    def make(): ...
    make()
with DAG("consumer", schedule=[made]):
    @task
    def use(): note("used")
    use()
"""
WAITING = """
from gate import Gate
class Wait(BaseOperator):
    def execute(self, context):
        self.defer(trigger=Gate(path=str(HERE / "gate")), method_name="go_on")
    def go_on(self, context, event):
        note(self.task_id)
with DAG("waiting"):
    for n in range(4):
        Wait(task_id=f"deferred_{n}")
    @task(retries=2, retry_delay=0)
    def runs():
        note("runs began")
        wait()
    runs() >> Wait(task_id="last")
"""
GATE = """
import asyncio, pathlib
from airflow.triggers.base import BaseTrigger, TriggerEvent
class Gate(BaseTrigger):
    def __init__(self, path):
        super().__init__()
        self.path = path
    def serialize(self):
        return "gate.Gate", {"path": self.path}
    async def run(self):
        while not pathlib.Path(self.path).exists():
            await asyncio.sleep(0.05)
        yield TriggerEvent("open")
"""


def project(tmp_path: Path, source: str) -> Path:
    root = tmp_path / "workspace" / "project"
    root.mkdir(parents=True)
    (root / "dag.py").write_text(NOTE.format(here=str(tmp_path)) + source)
    (root / "gate.py").write_text(GATE)
    return root.parent


def noted(tmp_path: Path) -> list[str]:
    file = tmp_path / "notes"
    return sorted(file.read_text().splitlines()) if file.exists() else []


def test_tasks_and_triggers_that_wait_survive_a_restart_of_postgres(tmp_path: Path) -> None:
    with lite(project(tmp_path, WAITING), make_home(tmp_path)) as running:
        running.wait_for_dag("waiting")
        run_id = running.trigger("waiting")
        held = "select count(*) from leoflow_core.trigger where triggerer_key is not null"
        until(lambda: running.sql(held) == [(4,)] and noted(tmp_path), what="all wait; Lite said:\n" + running.output)
        os.kill(int((running.home / "pg" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
        until(lambda: "starting it again" in running.output, what="Lite noticed")
        running.wait_ready()
        (tmp_path / "gate").touch()
        assert running.wait_for_run("waiting", run_id) == "success", running.output
        assert noted(tmp_path) == [*(f"deferred_{n}" for n in range(4)), "last", "runs began"]
        assert running.sql("select distinct state::text, try_number from leoflow.task_instances") == [("success", 1)]
        assert running.sql("select count(*) from leoflow_core.trigger") == [(0,)]


def test_a_crash_after_an_assets_event_and_in_a_callback_loses_and_doubles_nothing(tmp_path: Path) -> None:
    running = Lite(project(tmp_path, PIPELINE), make_home(tmp_path))
    try:
        running.start().wait_ready()
        running.wait_for_dag("producer")
        running.wait_for_dag("consumer")
        with psycopg.connect(EmbeddedPostgres(running.home).dsn, autocommit=True) as gate:
            # nobody gets from the transaction that records the event to the one that makes the run
            gate.execute(
                "select pg_advisory_lock(leoflow_core.lock_class('asset_runs'), d.dag_key)"
                " from leoflow_core.dag d where d.dag_id = 'consumer'"
            )
            run_id = running.trigger("producer")
            assert running.wait_for_run("producer", run_id) == "success"
            until(lambda: noted(tmp_path) == ["told"], what="the callback runs; Lite said:\n" + running.output)
            events = "select count(*) from leoflow_core.asset_queue"
            assert running.sql(events) == [(1,)]
            running.kill()
            gate.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                " and datname = current_database()"
            )
            runs = "select dag_id, state::text from leoflow.dag_runs order by 1"
            assert running.sql(runs) == [("producer", "success")], "the event waits, the run is not there"
        running.start().wait_ready()
        until(lambda: running.sql(runs) == [("consumer", "success"), ("producer", "success")], what="the run comes")
        assert running.sql(events) == [(0,)]
        until(lambda: noted(tmp_path) == ["told", "told", "used"], seconds=180, what="the callback is called again")
        (tmp_path / "gate").touch()
        calls = "select callback, dag_id, state from leoflow.callbacks"
        until(lambda: running.sql(calls) == [("on_success_callback", "producer", "success")], what="it is recorded")
        assert noted(tmp_path) == ["told", "told", "used"]
        assert running.sql("select count(*) from leoflow.dag_runs") == [(2,)]
    finally:
        clean_up(running)
