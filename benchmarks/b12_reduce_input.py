"""B12, reduce input: from the claim of a reducer over many XComs to the Python list its task gets."""

import asyncio
import dataclasses
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.harness import Options, Report
from leoflow import engine
from leoflow.crypto import SecretBox
from leoflow.db import Pool, migrate, open_pool
from leoflow.db.embedded import EmbeddedPostgres
from leoflow.engine import ClaimedAttempt, Outcome, XComValue
from leoflow.execution import xcoms
from leoflow.execution.access import SecretAccess
from leoflow.execution.context import AttemptContext, Limits, Store
from leoflow.runtime.reduce_inputs import ReduceInputs
from leoflow.worker.frames import encode_frame
from leoflow.worker.masking import Masker

TITLE = "B12 reduce input: claim to Python list"
CASES = ((10_000, 100), (5_000, 10_000), (100, 1_000_000))
_BATCH = 500


class CountingStore(Store):
    """A store that counts its statements."""

    statements = 0

    async def rows(self, query: str, parameters: Mapping[str, Any], *, binary: bool = False) -> list[Any]:
        """Run and count a query."""
        self.statements += 1
        return await super().rows(query, parameters, binary=binary)


def run(options: Options) -> Report:
    """Measure each size: claim, one read, the frame to the task, and the parsing there."""
    report = Report(TITLE, "parsing JSON value by value in the task's process; for large values, copying the bytes")
    asyncio.run(_measure(options, report))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    report.add("peak memory of this process (worker and task in one)", "MiB", [peak])
    return report


async def _measure(options: Options, report: Report) -> None:
    async with _database(options.scratch / "b12") as pool:
        for count, size in CASES:
            times, trips = await _case(pool, options, count, size)
            target = "<= 60" if count == CASES[0][0] else ""
            report.add(f"{count:,} of {size:,} B, claim to list", "ms", times, target)
            report.add(f"{count:,} of {size:,} B, statements to read the input", "", trips, "1")


async def _case(pool: Pool, options: Options, count: int, size: int) -> tuple[list[float], list[float]]:
    store = CountingStore(pool, SecretBox.load_or_create(options.scratch / "b12"), Limits(), SecretAccess())
    value = json.dumps("x" * (size - 2)).encode()
    dag_id = f"reduce_{count}_{size}"
    async with pool.connection() as connection:
        await engine.register_version(connection, _spec(dag_id, count))
        await connection.execute("update leoflow_core.pool set slots = -1")
        worker = await engine.register_worker(
            connection, hostname="bench", pid=1, slots=count, lease=timedelta(hours=1)
        )
    times, trips, trials = [], [], _trials(count)
    for _ in range(options.repeat):
        await _finish_trials(pool, worker, dag_id, value)
        store.statements = 0
        started = time.perf_counter()
        async with pool.connection() as connection:
            [reducer] = await engine.claim(connection, worker, 1)
        values = await _as_in_the_task(store, reducer, trials)
        times.append((time.perf_counter() - started) * 1000)
        trips.append(float(store.statements))
        if len(values) != count or len(values[-1]) != size - 2:
            raise AssertionError("the reducer got something else")
        async with pool.connection() as connection:
            await engine.finish(connection, worker, [Outcome(reducer.ref, "success")])
            await engine.delete_run(connection, dag_id, reducer.run_id)
    return times, trips


async def _as_in_the_task(store: Store, claimed: ClaimedAttempt, trials: list[str]) -> list[Any]:
    """Do what the worker and the task's process do, without the process: read, encode, decode, parse."""
    attempt = AttemptContext(claimed, Masker())
    inputs = ReduceInputs()
    after = -1
    while True:
        page = await xcoms.prefetch(store, attempt, after)
        frame = encode_frame([1, {"type": "LeoflowReduceInputs", **dataclasses.asdict(page)}])
        inputs.add(msgspec.msgpack.decode(frame[4:])[1])
        if page.rest_after is None:
            return [inputs.value_of(trial) for trial in trials]
        after = page.rest_after


async def _finish_trials(pool: Pool, worker: int, dag_id: str, value: bytes) -> None:
    async with pool.connection() as connection:
        await engine.create_run(connection, dag_id)
        batch = max(1, min(_BATCH, 16_000_000 // len(value)))
        while claimed := await engine.claim(connection, worker, batch):
            outcomes = [Outcome(one.ref, "success", xcoms=(XComValue("return_value", value),)) for one in claimed]
            result = await engine.finish(connection, worker, outcomes)
            if result.ready:
                return


def _trials(count: int) -> list[str]:
    return [f"trial_{number:05}" for number in range(count)]


def _spec(dag_id: str, count: int) -> dict[str, Any]:
    trials = _trials(count)
    tasks: list[dict[str, Any]] = [{"task_id": name, "depends_on": []} for name in trials]
    tasks.insert(0, {"task_id": "reduce", "depends_on": trials, "xcom_input": {"values": trials}})
    return {"dag_id": dag_id, "tasks": tasks, "is_paused_upon_creation": False, "max_active_tasks": count + 1}


@asynccontextmanager
async def _database(home: Path) -> AsyncIterator[Pool]:
    home.mkdir(parents=True, exist_ok=True)
    server = EmbeddedPostgres(home)
    dsn = await server.start()
    try:
        await migrate.upgrade(dsn)
        pool = await open_pool(dsn, max_size=4)
        try:
            yield pool
        finally:
            await pool.close()
    finally:
        await server.stop()
