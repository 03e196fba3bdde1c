"""Airflow's own worker: attempts run by the Task SDK's unmodified entry point, against our execution API over HTTP."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from leoflow import engine
from leoflow.api.app import create_app
from leoflow.api.auth.tokens import load_or_create_secret
from leoflow.api.settings import ApiSettings
from leoflow.db.pool import Pool
from leoflow.engine import ClaimedAttempt, Outcome
from leoflow.execution.tokens import AttemptTokens
from leoflow.lite.server import serve
from leoflow.worker.startup import BUNDLE_NAME
from tests.support.environments import default_python

ENTRY_POINT = "airflow.sdk.execution_time.execute_workload"


@dataclass
class StockWorker:
    """Claims attempts as queued and starts a process of Airflow's for each; the rest they say themselves."""

    pool: Pool
    home: Path
    url: str
    slots: int = 3
    outputs: dict[str, str] = field(default_factory=dict)
    """What each attempt's process printed, by attempt id."""

    async def run(self) -> None:
        """Work until cancelled."""
        async with self.pool.connection() as connection:
            key = await engine.register_worker(connection, hostname="stock", pid=os.getpid(), slots=self.slots)
        async with asyncio.TaskGroup() as group:
            busy: set[asyncio.Task[None]] = set()
            while True:
                async with self.pool.connection() as connection:
                    await engine.heartbeat(connection, key)
                    claimed = await engine.claim(connection, key, self.slots - len(busy), start=False)
                for attempt in claimed:
                    task = group.create_task(self._attempt(key, attempt))
                    busy.add(task)
                    task.add_done_callback(busy.discard)
                if busy:
                    await asyncio.wait(busy, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(0.05)

    async def _attempt(self, key: int, claimed: ClaimedAttempt) -> None:
        process = await asyncio.create_subprocess_exec(
            default_python(),
            "-m",
            ENTRY_POINT,
            "--json-string",
            json.dumps(self._workload(claimed)),
            env=self._environment(claimed),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            raise
        self.outputs[f"{claimed.task_id}#{claimed.try_number}"] = output.decode(errors="replace")
        # Airflow's supervisor says nothing when a process with retries left is killed. What was reported stands.
        async with self.pool.connection() as connection:
            await engine.finish(connection, key, [Outcome(claimed.ref, "failed")])

    def _workload(self, claimed: ClaimedAttempt) -> dict[str, object]:
        tokens = AttemptTokens(load_or_create_secret(self.home))
        return {
            "type": "ExecuteTask",
            "token": tokens.for_launch(claimed.ref),
            "dag_rel_path": claimed.relative_fileloc,
            "bundle_info": {"name": BUNDLE_NAME, "version": None},
            "log_path": f"{claimed.attempt_id}.log",
            "ti": {
                "id": str(claimed.attempt_id),
                "dag_version_id": str(claimed.dag_version_id),
                "task_id": claimed.task_id,
                "dag_id": claimed.dag_id,
                "run_id": claimed.run_id,
                "try_number": claimed.try_number,
                "map_index": claimed.map_index,
                "pool_slots": claimed.pool_slots,
                "queue": claimed.queue,
                "priority_weight": claimed.priority,
            },
        }

    def _environment(self, claimed: ClaimedAttempt) -> dict[str, str]:
        airflow_home = self.home.parent / "airflow"
        bundle = {
            "name": BUNDLE_NAME,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": claimed.bundle_path},
        }
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(airflow_home),
            "AIRFLOW_HOME": str(airflow_home),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(airflow_home / "logs"),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        }


@contextlib.asynccontextmanager
async def stock_worker(pool: Pool, home: Path) -> AsyncIterator[StockWorker]:
    """A server on a free port and a stock worker that talks to it, stopped afterwards."""
    home.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        ready = asyncio.Event()
        server = asyncio.create_task(serve(create_app(pool, ApiSettings(home=home)), bound, ready))
        worker = StockWorker(pool, home, f"http://127.0.0.1:{bound.getsockname()[1]}")
        running = asyncio.create_task(worker.run())
        try:
            await ready.wait()
            yield worker
        finally:
            for task in (running, server):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
