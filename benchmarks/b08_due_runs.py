"""B8, due runs: 5,000 DAGs due at the same moment, created by 1, 2 and 4 scheduler processes."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.harness import Options, Report
from leoflow.db import migrate
from leoflow.db.embedded import EmbeddedPostgres

TITLE = "B8 due runs: DAGs due in the same minute"
DAGS = int(os.environ.get("LEOFLOW_BENCH_DUE_DAGS", "5000"))
LEAD_SECONDS = 5
SCHEDULERS = (1, 2, 4)


def run(options: Options) -> Report:
    """Measure each number of schedulers `repeat` times on one database."""
    report = Report(TITLE, "create_run in Postgres: one process of it per scheduler")
    home = options.scratch / "due-home"
    postgres = EmbeddedPostgres(home)
    dsn = asyncio.run(postgres.start())
    try:
        asyncio.run(migrate.upgrade(dsn))
        with psycopg.connect(dsn, autocommit=True) as connection:
            _register(connection)
            for count in SCHEDULERS:
                with _schedulers(count, dsn, home) as pids:
                    _until_alive(connection, pids)
                    samples = [_due_at_once(connection) for _ in range(options.repeat)]
                report.add(f"last run created after due, {count} schedulers", "s", samples, "<= 5")
    finally:
        asyncio.run(postgres.stop())
    return report


def _register(connection: psycopg.Connection) -> None:
    schedule = {"type": "cron", "expression": "0 0 1 1 *", "timezone": "UTC", "data_interval": False}
    task = {"task_id": "only", "depends_on": []}
    for number in range(DAGS):
        spec = {"dag_id": f"due_{number}", "tasks": [task], "schedule": schedule, "is_paused_upon_creation": False}
        connection.execute("select from leoflow_core.register_version(%s)", (Jsonb(spec),))
    connection.execute("vacuum analyze")


@contextlib.contextmanager
def _schedulers(count: int, dsn: str, home: Path) -> Iterator[list[int]]:
    environ = {**os.environ, "LEOFLOW_DATABASE_URL": dsn, "LEOFLOW_HOME": str(home)}
    with (home / "schedulers.log").open("ab") as log:
        command = [sys.executable, "-m", "leoflow", "scheduler"]
        started = [subprocess.Popen(command, env=environ, stdout=log, stderr=log) for _ in range(count)]
        try:
            yield [process.pid for process in started]
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(60)


def _until_alive(connection: psycopg.Connection, pids: list[int]) -> None:
    """Wait until each process has planned what there is and sleeps."""
    while True:
        row = connection.execute(
            "select (select count(*) from leoflow_core.process where pid = any(%s)),"
            " (select count(*) from leoflow_core.dag where schedule_pending)",
            (pids,),
        ).fetchone()
        if row and row[0] >= len(pids) and row[1] == 0:
            return
        time.sleep(0.2)


def _due_at_once(connection: psycopg.Connection) -> float:
    """Make every DAG due at one moment ahead; return the seconds from then to the last run's creation."""
    _forget_runs(connection)
    row = connection.execute(
        "with moment as (select date_trunc('second', clock_timestamp()) + make_interval(secs => %s) as at)"
        " update leoflow_core.dag as d set next_logical_date = m.at, next_data_interval_start = m.at,"
        " next_data_interval_end = m.at, next_run_after = m.at from moment as m returning m.at",
        (LEAD_SECONDS,),
    ).fetchone()
    connection.execute("notify leoflow_schedule")
    while True:
        found = connection.execute(
            "select count(*), count(distinct dag_key), extract(epoch from max(created_at) - %s)::float8"
            " from leoflow_core.dag_run",
            row,
        ).fetchone()
        if found and found[0] >= DAGS:
            if found[0] != found[1]:
                raise RuntimeError(f"{found[0]} runs of {found[1]} DAGs: a run was created twice")
            return float(found[2])
        time.sleep(0.1)


def _forget_runs(connection: psycopg.Connection) -> None:
    """Empty the tables of runs; a scheduler may be reading one while it waits for the other."""
    while True:
        try:
            connection.execute("truncate leoflow_core.dag_run, leoflow_core.task_instance cascade")
            return
        except psycopg.errors.DeadlockDetected:
            time.sleep(0.1)
