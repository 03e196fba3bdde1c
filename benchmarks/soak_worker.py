"""`python -m benchmarks.soak_worker [seconds] [attempts per process]`: a worker and its fork servers alone, for long.

Without the rest of Lite more attempts fit into the time: runs of 500 no-op tasks, one after the other, on a Postgres of
its own. After every run one line: memory in MB and descriptors of the worker (this process) and of its fork
servers. They must not grow; the exit code is 1 when they did.
"""

import asyncio
import contextlib
import gc
import os
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import psutil

from benchmarks.soak import TASKS, Allowed, Look, show, size, verdict
from benchmarks.systems import PARALLELISM, dag_folder
from leoflow import engine
from leoflow.compiler.compile import compile_project
from leoflow.compiler.discovery import discover
from leoflow.config import Settings
from leoflow.db import Pool, migrate, open_pool
from leoflow.db.embedded import EmbeddedPostgres
from leoflow.environments import DEFAULT_ENVIRONMENT, ensure
from leoflow.worker.launchers.loader import ForkServerLoader
from leoflow.worker.launchers.process import ForkServerLauncher
from leoflow.worker.worker import Worker

DAG_ID = "bench_wide"
ALLOWED = {"worker": Allowed(2.5, 1), "fork servers": Allowed(1.0, 3)}


async def register(pool: Pool, launcher: ForkServerLauncher, folder: Path, home: Path) -> None:
    """Compile the DAG and switch it on."""
    [project] = discover(folder)
    [compiled] = await compile_project(project, ForkServerLoader(launcher), home=home)
    spec = compiled.spec.model_dump(mode="json")
    async with pool.connection() as connection:
        await engine.register_version(
            connection,
            spec,
            content_hash=spec["content_hash"],
            bundle_path=str(compiled.bundle_path),
            relative_fileloc=spec["source"]["path"],
        )
        await engine.set_paused(connection, DAG_ID, False)


async def finish(pool: Pool, worker: Worker) -> None:
    """Trigger a run and wait for its end, asking seldom; then delete it."""
    async with pool.connection() as connection:
        run = await engine.create_run(connection, DAG_ID)
        await engine.wake_workers(connection)
    state = "running"
    while state in ("queued", "running") or worker.running:
        await asyncio.sleep(0.2)
        async with pool.connection() as connection:
            query = "select state::text from leoflow_core.dag_run where run_key = %s"
            row = await (await connection.execute(query, (run.run_key,))).fetchone()
        state = row[0] if row else "gone"
    if state != "success":
        raise RuntimeError(f"the run ended {state}")
    await worker.flush_logs()
    async with pool.connection() as connection:
        await engine.delete_run(connection, DAG_ID, run.run_id)


def look() -> Look:
    """Measure each part as it is now."""
    gc.collect()
    me = psutil.Process()
    servers = [each for each in me.children(recursive=True) if _is_server(each)]
    return {"worker": size([me]), "fork servers": size(servers)}


def _is_server(process: psutil.Process) -> bool:
    try:
        return not process.name().startswith("postgres")
    except psutil.Error:
        return False


async def soak(scratch: Path, seconds: float, reuse: int) -> bool:
    """Run until the time is over, print the table and the verdict."""
    home = scratch / "home"
    home.mkdir(mode=0o700)
    server = EmbeddedPostgres(home)
    dsn = await server.start()
    await migrate.upgrade(dsn)
    pool = await open_pool(dsn, max_size=8)
    environment = await ensure(DEFAULT_ENVIRONMENT, home)

    async def interpreter_of(_key: str | None) -> Path:
        return environment.python

    launcher = ForkServerLauncher(interpreter_of, home)
    worker = Worker(pool, Settings(home=home, slots=PARALLELISM), launcher, dsn=dsn)
    folder = dag_folder("wide", scratch / "dags", TASKS)
    if reuse > 1:
        (folder / "leoflow.yaml").write_text(f"defaults: {{attempts_per_process: {reuse}}}\n")
    await register(pool, launcher, folder, home)
    running = asyncio.create_task(worker.run())
    series: list[Look] = []
    first = None
    try:
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            await finish(pool, worker)
            series.append(look())
            show(len(series) * TASKS, time.monotonic() - began, series[-1])
            if tracemalloc.is_tracing() and len(series) == 3:
                first = tracemalloc.take_snapshot()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await launcher.close()
        await pool.close()
        await server.stop()
    if first is not None:
        for change in tracemalloc.take_snapshot().compare_to(first, "lineno")[:20]:
            print(change)
    return verdict(series, ALLOWED, TASKS)


def main() -> None:
    """Measure; with PYTHONTRACEMALLOC set also say where the worker's memory grew after the third run."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600
    reuse = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    os.environ.pop("LEOFLOW_DATABASE_URL", None)
    with tempfile.TemporaryDirectory(prefix="leoflow-soak-") as scratch:
        is_flat = asyncio.run(soak(Path(scratch).resolve(), seconds, reuse))
    sys.exit(not is_flat)


if __name__ == "__main__":
    main()
