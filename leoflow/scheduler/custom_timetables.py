"""Asks timetables that only a project's own code knows for the next run, away from the transactions of due runs.

A DAG is taken for a while (`plan_after`), its code is asked in its environment, and the answer is stored if the DAG is
still the same. So a slow or hanging timetable holds no lock, costs one scheduler at a time, and delays no other DAG.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from psycopg.rows import class_row

from leoflow.config import SchedulerSettings, UserCodeSettings
from leoflow.db import Pool, retry_transient
from leoflow.db.queries import load
from leoflow.execution.usercode import Call, CallError, CallLimits, CodePlace, UserCode
from leoflow.scheduler.service import Service

SQL = load("scheduler")
LEASE_SLACK_SECONDS = 30.0
PARALLEL = 4
PASSING_RETRY_SECONDS = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Unplanned:
    """A DAG whose custom timetable must be asked, and what it must be told."""

    dag_key: int
    dag_id: str
    version_key: int
    environment_key: str | None
    bundle_path: str | None
    relative_fileloc: str | None
    start_date: datetime | None
    end_date: datetime | None
    catchup: bool
    last_start: datetime | None
    last_end: datetime | None

    @property
    def question(self) -> dict[str, Any]:
        """The arguments of the call."""
        last = None if self.last_start is None or self.last_end is None else [self.last_start, self.last_end]
        return {
            "question": "next",
            "last": last,
            "earliest": self.start_date,
            "latest": self.end_date,
            "catchup": self.catchup,
        }


class CustomTimetables(Service):
    """The service that plans the DAGs of which `leoflow_core.is_custom` says so."""

    name = "custom timetables"
    channels = ("leoflow_schedule",)
    poll_seconds = 15.0

    def __init__(self, pool: Pool, own: SchedulerSettings, settings: UserCodeSettings, usercode: UserCode) -> None:
        super().__init__()
        self._pool = pool
        self._batch = min(own.batch_size, PARALLEL)
        self._settings = settings
        self._limits = CallLimits(settings.timetable_seconds, settings.memory_bytes, settings.output_bytes)
        self._usercode = usercode

    async def work(self) -> float | None:
        """Plan one batch of DAGs side by side."""
        dags = await retry_transient(self._take)
        await asyncio.gather(*(self._plan(dag) for dag in dags))
        return 0.0 if len(dags) == self._batch else await self._seconds_to_next()

    async def _take(self) -> list[Unplanned]:
        arguments = {"limit": self._batch, "seconds": self._settings.timetable_seconds + LEASE_SLACK_SECONDS}
        async with self._pool.connection() as connection, connection.cursor(row_factory=class_row(Unplanned)) as cursor:
            await cursor.execute(SQL["take_custom"], arguments)
            return await cursor.fetchall()

    async def _plan(self, dag: Unplanned) -> None:
        place = CodePlace(
            dag.dag_id, dag.environment_key, dag.bundle_path or "/nowhere", dag.relative_fileloc or "dag.py"
        )
        answer: dict[str, Any] = {}
        error = None
        try:
            found = await self._usercode.call(Call(place, "timetable", dag.question, self._limits))
            answer = found.result or {}
        except CallError as problem:
            error = problem
            log.warning("a timetable could not be asked", dag_id=dag.dag_id, error=str(problem))
        await retry_transient(lambda: self._store(dag, answer, error))

    async def _store(self, dag: Unplanned, answer: dict[str, Any], error: CallError | None) -> None:
        wait = PASSING_RETRY_SECONDS if error and error.is_passing else self._settings.timetable_retry_seconds
        arguments = {
            "dag_key": dag.dag_key,
            "version_key": dag.version_key,
            "last_start": dag.last_start,
            "start": answer.get("start"),
            "end": answer.get("end"),
            "run_after": answer.get("run_after"),
            "run_id": answer.get("run_id"),
            "error": error and words(error),
            "wait": wait,
        }
        async with self._pool.connection() as connection:
            await connection.execute(SQL["store_custom"], arguments)

    async def _seconds_to_next(self) -> float | None:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(SQL["seconds_to_next_custom"])).fetchone()
        return None if row is None or row[0] is None else float(row[0])


def words(error: CallError) -> str:
    """What a user reads: the problem, its place, the remedy, and the end of the traceback."""
    trace = error.output.replace("\x00", "").strip()[-2000:]
    return "\n".join(filter(None, (f"{error.where}: {error.what}", error.hint, trace)))
