"""B13, waiting: ten thousand deferred task instances and one triggerer."""

import asyncio
import os
import shutil
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.harness import Options, Report, percentile
from leoflow import engine
from leoflow.db import migrate
from leoflow.db.embedded import EmbeddedPostgres
from leoflow.engine import Deferral, Outcome
from leoflow.environments import DEFAULT_ENVIRONMENT, ensure

TITLE = "B13 waiting: 10,000 deferred triggers in one triggerer"
TRIGGERS = int(os.environ.get("LEOFLOW_BENCH_TRIGGERS", "10000"))
FIRST_SECONDS = 120.0
WINDOW_SECONDS = 60.0
BATCH = 500
MODULE = """
import asyncio, time
from airflow.triggers.base import BaseTrigger, TriggerEvent
class At(BaseTrigger):
    def __init__(self, moment):
        super().__init__()
        self.moment = moment
    def serialize(self):
        return "bench_triggers.At", {"moment": self.moment}
    async def run(self):
        await asyncio.sleep(max(0.0, self.moment - time.time()))
        yield TriggerEvent(self.moment)
"""


def run(options: Options) -> Report:
    """Defer, start a triggerer, let every trigger come due within a minute, see how late each task was claimable."""
    report = Report(TITLE, "the batches in which firings are committed; the logs of 10,000 tasks")
    home = options.scratch / "waiting-home"
    bundle = options.scratch / "waiting"
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / "bench_triggers.py").write_text(MODULE)
    late, memory, seconds = asyncio.run(_with_postgres(home, bundle))
    report.add("late, median", "s", [statistics.median(late)])
    report.add("late, p99", "s", [percentile(late, 0.99)], "<= 1")
    report.add("late, worst", "s", [max(late)])
    report.add("memory of the triggerer and its runners, shared pages once", "MB", [memory], "<= 1000")
    report.add("until all of them ran", "s", [seconds])
    return report


async def _with_postgres(home: Path, bundle: Path) -> tuple[list[float], float, float]:
    await ensure(DEFAULT_ENVIRONMENT, home)
    postgres = EmbeddedPostgres(home)
    await postgres.stop()  # of an earlier, interrupted measurement in a kept scratch directory
    shutil.rmtree(home / "pg", ignore_errors=True)
    await postgres.start()
    try:
        await migrate.upgrade(postgres.dsn)
        return await _measure(postgres.dsn, home, bundle)
    finally:
        await postgres.stop()


async def _measure(dsn: str, home: Path, bundle: Path) -> tuple[list[float], float, float]:
    conn = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    began = time.time()
    due = [began + FIRST_SECONDS + WINDOW_SECONDS * n / TRIGGERS for n in range(TRIGGERS)]
    run_key = await _defer(conn, bundle, due)
    env = {**os.environ, "LEOFLOW_DATABASE_URL": dsn, "LEOFLOW_HOME": str(home)}
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "leoflow", "triggerer", env=env, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await _until(conn, "select count(*) = 0 from leoflow_core.trigger where triggerer_key is null")
        await asyncio.sleep(5)
        seconds = time.monotonic() - started
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        memory = sum(one.memory_full_info().pss for one in family) / 1e6
        await _until(conn, "select count(*) = 0 from leoflow_core.trigger")
    finally:
        process.terminate()
        await process.wait()
    rows = await (
        await conn.execute(
            """
            select extract(epoch from t.scheduled_at)::float8 - (x.next_kwargs ->> 'event')::float8
            from leoflow_core.task_instance as t join leoflow_core.task_instance_extra as x using (run_key, task_idx)
            where t.run_key = %s and t.state = 'scheduled' and x.next_method = 'go_on'
            """,
            (run_key,),
        )
    ).fetchall()
    await conn.close()
    assert len(rows) == TRIGGERS, f"{TRIGGERS - len(rows)} of the triggers are lost"
    return [row[0] for row in rows], memory, seconds


async def _defer(conn: psycopg.AsyncConnection[Any], bundle: Path, due: list[float]) -> int:
    """Make a run whose every task is deferred."""
    tasks = [{"task_id": f"t{n:05}", "depends_on": []} for n in range(TRIGGERS)]
    spec = {"dag_id": "waiting", "tasks": tasks, "is_paused_upon_creation": False, "max_active_tasks": TRIGGERS}
    await conn.execute("update leoflow_core.pool set slots = -1")
    await engine.register_version(conn, spec, bundle_path=str(bundle))
    created = await engine.create_run(conn, "waiting", run_id=datetime.now(UTC).isoformat())
    worker = await engine.register_worker(conn, hostname="bench", pid=os.getpid(), slots=BATCH)
    done = 0
    while attempts := await engine.claim(conn, worker, BATCH):
        moments = due[done : done + len(attempts)]
        deferrals = [
            (attempt.ref, Deferral("bench_triggers.At", {"moment": moment}, "go_on", {}))
            for attempt, moment in zip(attempts, moments, strict=True)
        ]
        await engine.defer(conn, deferrals)
        await engine.finish(conn, worker, [Outcome(attempt.ref, "deferred") for attempt in attempts])
        done += len(attempts)
    return created.run_key


async def _until(conn: psycopg.AsyncConnection[Any], question: str) -> None:
    async with asyncio.timeout(600):
        while True:
            row = await (await conn.execute(question.encode())).fetchone()
            if row and row[0]:
                return
            await asyncio.sleep(0.5)
