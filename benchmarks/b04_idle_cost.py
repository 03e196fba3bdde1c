"""B4, idle cost: Lite with 100 DAGs of which none is due, left alone."""

import os
import time
from pathlib import Path

import psutil
import psycopg

from benchmarks.harness import Options, Report
from benchmarks.lite import lite
from benchmarks.workspace import write_projects
from leoflow.db.embedded import EmbeddedPostgres

TITLE = "B4 idle cost: 100 DAGs, none due"
TARGET = "<= 1 % of one core, <= 350 MB resident in all processes without Postgres, <= 5 queries/s"
DAGS = 100
SECONDS = float(os.environ.get("LEOFLOW_BENCH_IDLE_SECONDS", "300"))
SETTLE_SECONDS = 20.0


def processes(home: Path) -> list[psutil.Process]:
    """Lite and everything it started, without Postgres, which is nobody's child."""
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if "lite" in command and str(home) in command:
            return [process, *process.children(recursive=True)]
    raise RuntimeError("Lite does not run")


def cpu_seconds(found: list[psutil.Process]) -> float:
    """CPU time used so far."""
    return sum(process.cpu_times().user + process.cpu_times().system for process in found)


def resident(found: list[psutil.Process]) -> tuple[float, float]:
    """Megabytes resident (pages shared by forks counted once per process), and proportionally shared."""
    rss = sum(process.memory_info().rss for process in found) / 1e6
    pss = sum(process.memory_full_info().pss for process in found) / 1e6
    return rss, pss


def statements(connection: psycopg.Connection) -> int:
    """Transactions of everybody so far; every statement outside a transaction block is one."""
    connection.execute("select pg_stat_clear_snapshot()")
    row = connection.execute("select sum(xact_commit + xact_rollback) from pg_stat_database").fetchone()
    return int(row[0]) if row else 0


def run(options: Options) -> Report:
    """Measure for LEOFLOW_BENCH_IDLE_SECONDS (300)."""
    report = Report(TITLE, "polls of the worker and the scheduler's services, heartbeats, and Python's own timers")
    home = options.scratch / "idle-home"
    workspace = options.scratch / "idle"
    write_projects(workspace, DAGS, schedule="0 6 * * *", year=2100)
    with lite(workspace, home, slots=4), psycopg.connect(EmbeddedPostgres(home).dsn, autocommit=True) as connection:
        while True:
            row = connection.execute("select count(*) from leoflow.dags").fetchone()
            if row and row[0] >= DAGS:
                break
            time.sleep(0.2)
        time.sleep(SETTLE_SECONDS)
        found = processes(home)
        cpu, queries, began = cpu_seconds(found), statements(connection), time.monotonic()
        time.sleep(SECONDS)
        seconds = time.monotonic() - began
        report.add("CPU of one core", "%", [100 * (cpu_seconds(found) - cpu) / seconds], "<= 1")
        report.add("queries", "1/s", [(statements(connection) - queries) / seconds], "<= 5")
        rss, pss = resident(found)
        report.add("resident, summed", "MB", [rss], "<= 350")
        report.add("resident, shared pages once", "MB", [pss])
        report.add("processes", "", [float(len(found))])
    return report
