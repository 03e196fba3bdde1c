"""B11, attempt start: from the request to user code running, and what a process costs without a fork server."""

import asyncio
import subprocess
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from socket import socket
from typing import Any

from benchmarks.harness import Options, Report
from leoflow.environments import DEFAULT_ENVIRONMENT, ensure
from leoflow.worker.frames import FrameChannel
from leoflow.worker.launchers.base import LaunchOrder
from leoflow.worker.launchers.process import ForkServerLauncher

TITLE = "B11 attempt start: request to user code"
ATTEMPTS = 100
CONCURRENCY = (1, 2, 4)
DAG = """
import time
from airflow.sdk import DAG, task
with DAG("bench_start"):
    @task
    def now(): return time.monotonic()
    now()
"""
STOCK = "import airflow.sdk.execution_time.execute_workload, airflow.sdk.execution_time.supervisor"


def run(options: Options) -> Report:
    """Measure the fork server, a bare interpreter, and the imports of Airflow's stock worker entry point."""
    report = Report(TITLE, "copying the pages a forked child writes to (about 2,000 faults), then the SDK's own code")
    python = asyncio.run(ensure(DEFAULT_ENVIRONMENT, options.scratch / "home")).python
    starts, rates = asyncio.run(_fork_server(python, options))
    ours = report.add("fork server, request to user code", "ms", starts, "<= 15")
    for concurrency, samples in rates.items():
        report.add(f"attempts per second, {concurrency} at a time", "1/s", samples, ">= 80" if concurrency > 1 else "")
    report.add("python -c pass", "ms", [_milliseconds(python, "pass") for _ in range(options.repeat * 3)])
    stock = report.add(
        "imports of the stock entry point alone", "ms", [_milliseconds(python, STOCK) for _ in range(options.repeat)]
    )
    report.add("ratio stock imports / fork server", "x", [stock.median / ours.median], ">= 100")
    return report


async def _fork_server(python: Path, options: Options) -> tuple[list[float], dict[int, list[float]]]:
    bundle = options.scratch / "b11"
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / "dag.py").write_text(DAG)

    async def interpreter_of(_key: str | None) -> Path:
        return python

    launcher = ForkServerLauncher(interpreter_of, options.scratch / "home")
    try:
        for _ in range(10):
            await _attempt(launcher, bundle)
        starts = [await _attempt(launcher, bundle) for _ in range(ATTEMPTS)]
        rates = {
            concurrency: [await _rate(launcher, bundle, concurrency) for _ in range(options.repeat)]
            for concurrency in CONCURRENCY
        }
    finally:
        await launcher.close()
    return starts, rates


async def _rate(launcher: ForkServerLauncher, bundle: Path, concurrency: int) -> float:
    numbers = iter(range(ATTEMPTS))

    async def work() -> None:
        for _ in numbers:
            await _attempt(launcher, bundle)

    started = time.monotonic()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return ATTEMPTS / (time.monotonic() - started)


async def _attempt(launcher: ForkServerLauncher, bundle: Path) -> float:
    """Run one attempt to its end; milliseconds from the request to its user code."""
    attempt_id = str(uuid.uuid4())
    requested = time.monotonic()
    process = await launcher.launch(LaunchOrder(attempt_id, None, bundle, "dag.py"))
    reached: list[float] = []
    channel: FrameChannel

    def answer(request_id: int, message: dict[str, Any]) -> None:
        if message["type"] == "SetXCom":
            reached.append(message["value"])
        channel.send([request_id, None])

    channel = FrameChannel(
        socket(fileno=process.supervisor_fd),
        limit=1 << 20,
        on_frame=answer,
        on_oversize=lambda *_: None,
        on_close=lambda _: None,
    )
    channel.send([0, _details(attempt_id)])
    outputs = [asyncio.to_thread(_drain, descriptor) for descriptor in process.output_fds.values()]
    await asyncio.gather(process.wait(), *outputs)
    channel.close()
    return (reached[0] - requested) * 1000


def _drain(descriptor: int) -> None:
    with open(descriptor, "rb") as stream:
        stream.read()


def _details(attempt_id: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    run = {"dag_id": "bench_start", "run_id": "r", "run_after": now, "logical_date": now, "run_type": "manual"}
    return {
        "type": "StartupDetails",
        "ti": {
            "id": attempt_id,
            "task_id": "now",
            "dag_id": "bench_start",
            "run_id": "r",
            "try_number": 1,
            "dag_version_id": attempt_id,
            "map_index": -1,
        },
        "dag_rel_path": "dag.py",
        "bundle_info": {"name": "leoflow", "version": None},
        "start_date": now,
        "sentry_integration": "",
        "ti_context": {"dag_run": {**run, "state": "running", "consumed_asset_events": []}, "max_tries": 0},
    }


def _milliseconds(python: Path, code: str) -> float:
    started = time.monotonic()
    subprocess.run([python, "-c", code], check=True, capture_output=True)
    return (time.monotonic() - started) * 1000
