"""Two real schedulers, one of them killed in mid-work: no run is lost, none is made twice."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from tests.support.lite import make_home, until

DAGS = 120


@contextlib.contextmanager
def scheduler(home: Path, database_url: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    environ = {
        **os.environ,
        "LEOFLOW_DATABASE_URL": database_url,
        "LEOFLOW_HOME": str(home),
        "LEOFLOW_SCHEDULER__BATCH_SIZE": "5",
    }
    with (home.parent / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "leoflow", "scheduler"], env=environ, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_a_scheduler_killed_in_mid_work_loses_and_doubles_no_run(tmp_path: Path, database_url: str) -> None:
    home = make_home(tmp_path)
    schedule = {"type": "cron", "expression": "0 * * * *", "timezone": "UTC", "data_interval": False}
    with psycopg.connect(database_url, autocommit=True) as connection:
        for number in range(DAGS):
            spec = {
                "dag_id": f"dag_{number}",
                "tasks": [{"task_id": "only", "depends_on": []}],
                "schedule": schedule,
                "start_date": "2024-01-01T00:00:00Z",
                "is_paused_upon_creation": False,
            }
            connection.execute("select from leoflow_core.register_version(%s)", (Jsonb(spec),))
        runs = "select count(*) from leoflow_core.dag_run"
        with scheduler(home, database_url, "one") as doomed, scheduler(home, database_url, "two"):
            until(lambda: count(connection, runs) > 0, what="the first runs", seconds=90)
            doomed.send_signal(signal.SIGKILL)
            until(lambda: count(connection, runs) >= DAGS, what="a run of each DAG", seconds=90)
        assert count(connection, runs) == DAGS
        assert count(connection, "select count(distinct dag_key) from leoflow_core.dag_run") == DAGS
        waiting = "select count(*) from leoflow_core.dag where next_run_after is null or next_run_after <= now()"
        assert count(connection, waiting) == 0, "each DAG knows its next run"
