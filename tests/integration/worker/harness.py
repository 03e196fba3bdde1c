"""A real worker with its fork server on a database of its own, and DAGs written as text."""

import asyncio
import contextlib
import json
import textwrap
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leoflow import engine
from leoflow.compiler.compile import compile_project
from leoflow.compiler.discovery import discover
from leoflow.config import SecretsSettings, Settings, WorkerSettings
from leoflow.db.pool import Pool, open_pool
from leoflow.execution import values
from leoflow.worker.launchers.loader import ForkServerLoader
from leoflow.worker.launchers.process import ForkServerLauncher
from leoflow.worker.worker import Worker
from tests.support.environments import default_python

HEADER = """
import os, signal, subprocess, sys, time
from datetime import datetime, timedelta
from pathlib import Path
from airflow.sdk import DAG, task
"""
TEST_WORKER = WorkerSettings(
    kill_grace_seconds=0.5, timeout_slack_seconds=0.5, overtime_seconds=2, poll_seconds=0.5, heartbeat_seconds=0.5
)


@dataclass(frozen=True)
class Instance:
    """A finished task instance."""

    state: str | None
    try_number: int
    rendered_fields: Any


@dataclass(frozen=True)
class Run:
    """A finished run."""

    run_key: int
    run_id: str
    state: str
    tasks: dict[str, Instance]
    xcoms: dict[tuple[str, str], Any]
    logs: dict[str, list[dict[str, Any]]] = field(repr=False)

    def messages(self, task_id: str) -> str:
        """All events of a task's log, one per line."""
        return "\n".join(str(line["event"]) for line in self.logs.get(task_id, []))


class Harness:
    """Registers DAGs, triggers them and waits for their end."""

    def __init__(
        self,
        pool: Pool,
        dsn: str,
        home: Path,
        worker: WorkerSettings = TEST_WORKER,
        slots: int = 6,
        python: Callable[[], Path] = default_python,
        secrets: SecretsSettings | None = None,
    ) -> None:
        self.pool = pool
        self.dsn = dsn
        self.home = home
        secrets = secrets or SecretsSettings()
        self.settings = Settings(home=home, slots=slots, worker=worker, secrets=secrets)
        self.launcher = ForkServerLauncher(
            lambda _key: asyncio.to_thread(python), home, shares_secrets=secrets.access != "declared"
        )
        self.worker: Worker | None = None
        self.remarks: dict[str, tuple[str, ...]] = {}
        self._running: asyncio.Task[None] | None = None

    def start(self) -> Worker:
        """Start a worker."""
        self.worker = Worker(self.pool, self.settings, self.launcher, dsn=self.dsn)
        self._running = asyncio.create_task(self.worker.run())
        return self.worker

    async def stop(self) -> None:
        """Stop the worker: its attempts are killed and go back to the queue."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def register(self, source: str, name: str = "project", yaml: str | None = None) -> None:
        """Compile and register every DAG of a file, with a leoflow.yaml if given."""
        root = self.home.parent / name
        root.mkdir(parents=True, exist_ok=True)
        if yaml is not None:
            (root / "leoflow.yaml").write_text('schema_version: "1.0"\n' + textwrap.dedent(yaml))
        (root / "dag.py").write_text(HEADER + textwrap.dedent(source))
        [project] = discover(root)
        for compiled in await compile_project(project, ForkServerLoader(self.launcher), home=self.home):
            spec = compiled.spec.model_dump(mode="json")
            self.remarks[spec["dag_id"]] = compiled.warnings
            async with self.pool.connection() as connection:
                await engine.register_version(
                    connection,
                    spec,
                    content_hash=spec["content_hash"],
                    bundle_path=str(compiled.bundle_path),
                    relative_fileloc=spec["source"]["path"],
                )
                await engine.set_paused(connection, spec["dag_id"], False)

    async def trigger(self, dag_id: str, **options: Any) -> int:
        """Create a run and return its key."""
        async with self.pool.connection() as connection:
            run = await engine.create_run(connection, dag_id, **options)
            await engine.wake_workers(connection)
        return run.run_key

    async def run(self, dag_id: str, timeout: float = 60, **options: Any) -> Run:
        """Trigger a run and wait for its end."""
        return await self.finished(await self.trigger(dag_id, **options), timeout)

    async def finished(self, run_key: int, timeout: float = 60) -> Run:
        """Wait for the end of a run and of its log."""
        async with asyncio.timeout(timeout):
            while await self._advance(run_key) not in ("success", "failed"):
                await self._watch()
            while self.worker is not None and self.worker.running:
                await self._watch()
        if self.worker is not None:
            await self.worker.flush_logs()
        return await self._read(run_key)

    async def until(self, question: str, *parameters: Any, timeout: float = 30) -> Any:
        """Poll a query until its first value is true, and return it."""
        async with asyncio.timeout(timeout):
            while not (answer := (await self.fetch(question, *parameters))[0][0]):
                await self._watch()
        return answer

    async def fetch(self, question: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        async with self.pool.connection() as connection:
            return await (await connection.execute(question.encode(), parameters)).fetchall()

    async def _watch(self) -> None:
        if self._running is not None and self._running.done():
            self._running.result()
        await asyncio.sleep(0.01)

    async def _advance(self, run_key: int) -> str:
        async with self.pool.connection() as connection:
            if await engine.promote_due(connection):
                await engine.wake_workers(connection)
        rows = await self.fetch("select state::text from leoflow_core.dag_run where run_key = %s", run_key)
        return str(rows[0][0])

    async def _read(self, run_key: int) -> Run:
        [(run_id, state)] = await self.fetch(
            "select run_id, state::text from leoflow_core.dag_run where run_key = %s", run_key
        )
        tasks = await self.fetch(
            """select t.task_id, i.state::text, i.try_number, e.rendered_fields
            from leoflow_core.task_instance i join leoflow_core.task t using (version_key, task_idx)
            left join leoflow_core.task_instance_extra e using (run_key, task_idx, map_index)
            where i.run_key = %s""",
            run_key,
        )
        xcoms = await self.fetch(
            """select t.task_id, x.key, x.value
            from leoflow_core.xcom x join leoflow_core.dag_run r using (run_key)
            join leoflow_core.task t using (version_key, task_idx) where x.run_key = %s""",
            run_key,
        )
        chunks = await self.fetch(
            """select t.task_id, l.lines
            from leoflow_core.task_log l join leoflow_core.dag_run r using (run_key)
            join leoflow_core.task t using (version_key, task_idx) where l.run_key = %s
            order by l.try_number, l.seq""",
            run_key,
        )
        logs: dict[str, list[dict[str, Any]]] = {}
        for task_id, lines in chunks:
            logs.setdefault(task_id, []).extend(json.loads(line) for line in lines.splitlines())
        return Run(
            run_key,
            run_id,
            state,
            {task_id: Instance(*rest) for task_id, *rest in tasks},
            {(task_id, key): values.decode(value) for task_id, key, value in xcoms},
            logs,
        )


@contextlib.asynccontextmanager
async def running(dsn: str, home: Path, **options: Any) -> AsyncIterator[Harness]:
    """A harness with a worker, stopped afterwards."""
    pool = await open_pool(dsn, max_size=8)
    harness = Harness(pool, dsn, home, **options)
    try:
        harness.start()
        yield harness
    finally:
        await harness.stop()
        await harness.launcher.close()
        await pool.close()
