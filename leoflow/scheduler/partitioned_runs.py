"""Maps the partition keys of asset events to those of the DAGs that wait for them, and creates the runs that follow.

Which run an event belongs to and when that run is created is SQL (`partitioned_runs.sql`); only the mapping of keys is
not: Airflow's mappers are computed here, others by the project's own code.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog
from psycopg.rows import class_row

from leoflow.config import SchedulerSettings, UserCodeSettings
from leoflow.db import Pool, retry_transient
from leoflow.db.queries import load
from leoflow.errors import LeoflowError
from leoflow.execution.usercode import Call, CallError, CallLimits, CodePlace, UserCode
from leoflow.scheduler.custom_timetables import LEASE_SLACK_SECONDS, words
from leoflow.scheduler.service import Service
from leoflow.timetables.partitions import Mapper, is_custom, map_key, mapper_of

SQL = load("scheduler")
PARALLEL = 4

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """A queued event, and what mapping its key needs."""

    queue_key: int
    dag_id: str
    schedule: dict[str, Any] | None
    asset_name: str
    asset_uri: str
    partition_key: str
    environment_key: str | None
    bundle_path: str | None
    relative_fileloc: str | None

    @property
    def mapper(self) -> Mapper | None:
        """What maps the key; None when the DAG has another kind of schedule by now."""
        schedule = self.schedule or {}
        return mapper_of(schedule, self.asset_name) if schedule.get("type") == "partitioned_assets" else None

    @property
    def is_custom(self) -> bool:
        """Whether the project's code must be asked."""
        return self.mapper is not None and is_custom(self.mapper)

    @property
    def place(self) -> CodePlace:
        """Where the code of a custom mapper is."""
        return CodePlace(
            self.dag_id, self.environment_key, self.bundle_path or "/nowhere", self.relative_fileloc or "dag.py"
        )


class PartitionedRuns(Service):
    """The service behind PartitionedAssetTimetable; any number may run."""

    name = "partitioned runs"
    channels = ("leoflow_partitions", "leoflow_assets", "leoflow_schedule")
    poll_seconds = 15.0

    def __init__(self, pool: Pool, own: SchedulerSettings, settings: UserCodeSettings, usercode: UserCode) -> None:
        super().__init__()
        self._pool = pool
        self._batch = own.batch_size
        self._lease = settings.timetable_seconds + LEASE_SLACK_SECONDS
        self._limits = CallLimits(settings.timetable_seconds, settings.memory_bytes, settings.output_bytes)
        self._usercode = usercode
        self._calls = asyncio.Semaphore(PARALLEL)

    async def work(self) -> float | None:
        """Map one batch of keys and create the runs that are complete; soon again while more wait."""
        events = await retry_transient(self._take, attempts=3)
        for event in events:
            if not event.is_custom:  # in their order, and without waiting for code of projects
                await self._map(event)
        created = await retry_transient(self._create, attempts=3)
        if slow := [event for event in events if event.is_custom]:
            await asyncio.gather(*(self._map(event) for event in slow))
            created += await retry_transient(self._create, attempts=3)
        if created:
            log.info(self.name, count=created)
        if len(events) >= self._batch or created >= self._batch:
            return 0.0
        async with self._pool.connection() as connection:
            row = await (await connection.execute(SQL["seconds_to_next_partition_event"])).fetchone()
        return None if row is None or row[0] is None else max(float(row[0]), 0.0)

    async def _take(self) -> list[Event]:
        async with self._pool.connection() as connection, connection.cursor(row_factory=class_row(Event)) as cursor:
            await cursor.execute(SQL["take_partition_events"], (self._batch, self._lease))
            return await cursor.fetchall()

    async def _map(self, event: Event) -> None:
        keys: list[str] = []
        error = None
        try:
            keys = await self._target_keys(event)
        except CallError as problem:
            if problem.is_passing:
                log.warning("a partition mapper could not be asked", dag_id=event.dag_id, error=str(problem))
                return  # the event is taken again when the lease is over
            error = words(problem)
        except (LeoflowError, ValueError, KeyError, TypeError) as problem:
            error = f"{type(problem).__name__}: {problem}"
        if error is not None:
            log.warning("a partition key cannot be mapped", dag_id=event.dag_id, key=event.partition_key, error=error)
        await retry_transient(lambda: self._store(event.queue_key, keys, error), attempts=3)

    async def _target_keys(self, event: Event) -> list[str]:
        if event.mapper is None:
            return []
        if not event.is_custom:
            return [map_key(event.mapper, event.partition_key)]
        question = {"question": "partition", "asset": event.asset_name, "key": event.partition_key}
        async with self._calls:
            answer = await self._usercode.call(Call(event.place, "timetable", question, self._limits))
        return list(answer.result)

    async def _store(self, queue_key: int, keys: list[str], error: str | None) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(SQL["add_partition_event"], (queue_key, keys, error))

    async def _create(self) -> int:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(SQL["create_partitioned_runs"], (self._batch,))).fetchone()
            created = int(row[0]) if row else 0
            if created:
                await connection.execute(SQL["wake_workers"])
            return created
