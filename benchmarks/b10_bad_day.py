"""B10, a bad day: the engine's rate under a pinned old snapshot, during a vacuum, and after a restart."""

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Iterator

import psycopg

from benchmarks.engine import Server, create_runs, drain, register, server, wide
from benchmarks.harness import Options, Report

TITLE = "B10 bad day: B5 (wide, batches of 100, 4 connections) while something holds it up"
TASKS = 10_000
PINNED_SECONDS = float(os.environ.get("LEOFLOW_BENCH_PINNED_SECONDS", "120"))
"""How long the old snapshot has been there, with work going on, before it is measured."""


def sample(dsn: str) -> tuple[float, float]:
    """Rate and median claim time of one more wide run."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        create_runs(connection, "wide", 1)
        connection.execute("select leoflow_core.refresh_watermark()")
    rate, claims = drain(dsn, connections=4, batch=100)
    return rate, statistics.median(claims)


@contextlib.contextmanager
def old_snapshot(dsn: str) -> Iterator[None]:
    """A reader that keeps every dead row."""
    with psycopg.connect(dsn) as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select count(*) from leoflow_core.task_instance")
        yield


@contextlib.contextmanager
def vacuuming(dsn: str) -> Iterator[None]:
    """Vacuum the hot tables over and over."""
    over = threading.Event()

    def vacuum() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not over.is_set():
                connection.execute("vacuum leoflow_core.task_instance, leoflow_core.dag_run")

    thread = threading.Thread(target=vacuum)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run(options: Options) -> Report:
    """The same run on a quiet server, then on each bad one."""
    report = Report(TITLE, "the low watermark keeps claims off the dead rows that a snapshot pins")
    with server(options.scratch) as on:
        dsn = on.database("b10")
        with psycopg.connect(dsn, autocommit=True) as connection:
            register(connection, wide(TASKS))
        quiet = [sample(dsn) for _ in range(options.repeat + 1)][1:]
        rate = report.add("quiet", "1/s", [one[0] for one in quiet]).median
        latency = report.add("quiet: claim of 100", "ms", [1000 * one[1] for one in quiet]).median
        with old_snapshot(dsn):
            began = time.monotonic()
            while time.monotonic() - began < PINNED_SECONDS:
                sample(dsn)
            pinned = [sample(dsn) for _ in range(options.repeat)]
        report.add("old snapshot / quiet", "x", [one[0] / rate for one in pinned], ">= 0.8")
        report.add("old snapshot / quiet: claim", "x", [1000 * one[1] / latency for one in pinned], "<= 1.3")
        with vacuuming(dsn):
            busy = [sample(dsn)[0] / rate for _ in range(options.repeat)]
        report.add("during a vacuum / quiet", "x", busy, ">= 0.8")
        after_restart(on, dsn, rate, report)
    return report


def after_restart(on: Server, dsn: str, rate: float, report: Report) -> None:
    """Seconds after a restart until a run reaches 0.95 of the quiet rate."""
    on.restart()
    began = time.monotonic()
    while sample(dsn)[0] < 0.95 * rate and time.monotonic() - began < 120:
        pass
    report.add("restart: full rate after", "s", [time.monotonic() - began], "<= 30")
