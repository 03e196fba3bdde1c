"""Creates the runs that are due. Rows of DAGs are claimed one by one, so any number of replicas can do this at once.

A DAG row carries its next run. In one transaction the row is locked, the run created and the next one stored: a crash
at any instruction leaves either both or neither.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from psycopg import AsyncConnection
from psycopg.rows import class_row

from leoflow.config import SchedulerSettings
from leoflow.db import Pool, retry_transient
from leoflow.db.queries import load
from leoflow.errors import LeoflowError
from leoflow.scheduler.service import Service
from leoflow.timetables import DataInterval, Restriction, RunInfo, timetable_of

SQL = load("scheduler")
DUPLICATE = "LF409"
BLOCKED_POLL_SECONDS = 1.0
REFUSED_PAUSE_SECONDS = 60.0
SCHEDULE_ERRORS = (LeoflowError, OverflowError, ValueError, KeyError)
"""What a schedule may raise that is malformed, stands still, or leaves the calendar."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Due:
    """What is needed of a DAG row to find its next run. Times are aware; `now` is the database's."""

    dag_key: int
    dag_id: str
    schedule: dict[str, Any] | None
    start_date: datetime | None
    end_date: datetime | None
    catchup: bool
    next_start: datetime | None
    next_end: datetime | None
    next_run_after: datetime | None
    next_run_id: str | None
    next_partition_key: str | None
    next_partition_date: datetime | None
    is_custom: bool
    last_start: datetime | None
    last_end: datetime | None
    now: datetime

    @property
    def last(self) -> DataInterval | None:
        """The interval of the latest scheduled run; of a run of a partition the moment from which it could start."""
        return (
            None if self.last_start is None or self.last_end is None else DataInterval(self.last_start, self.last_end)
        )

    def after(self, last: DataInterval | None, now: datetime) -> RunInfo | None:
        """The run that follows `last`, never with its logical date.

        Airflow's `@continuous` without a start date proposes the first run's date again, and hangs.
        """
        restriction = Restriction(self.start_date, self.end_date, self.catchup)
        run = timetable_of(self.schedule).next_run(last, restriction, now)
        if run is None or last is None or run.logical_date != last.start:
            return run
        start = run.logical_date + timedelta(microseconds=1)
        return RunInfo.of(start, max(start, run.interval.end))

    def to_create(self) -> RunInfo | None:
        """The stored next run; without catch-up, when a later one is due as well, the latest due one."""
        stored = self._stored()
        if stored is None:
            return None
        if self.catchup or self.is_custom:
            return stored
        restriction = Restriction(self.start_date, self.end_date, catchup=True)
        try:
            following = timetable_of(self.schedule).next_run(stored.interval, restriction, self.now)
            if following is None or following.run_after > self.now:
                return stored
            return self.after(self.last, self.now)
        except SCHEDULE_ERRORS:
            return stored  # nothing follows it: see `_or_none`

    def _stored(self) -> RunInfo | None:
        after = self.next_run_after
        if after is not None and self.next_partition_key is not None:
            return RunInfo(DataInterval.exact(after), after, self.next_partition_key, self.next_partition_date)
        if after is None or self.next_start is None or self.next_end is None:
            return None
        return RunInfo(DataInterval(self.next_start, self.next_end), after)


class DueRuns(Service):
    """The service behind every schedule."""

    name = "due runs"
    channels = ("leoflow_schedule",)

    def __init__(self, pool: Pool, settings: SchedulerSettings) -> None:
        super().__init__()
        self._pool = pool
        self._limit = settings.batch_size
        self._refused: dict[int, float] = {}

    async def work(self) -> float | None:
        """Schedule what changed, create what is due, and say when the next run is."""
        planned = await retry_transient(self._plan_changed, attempts=3)
        created, seen = await retry_transient(self._create_due, attempts=3)
        if created:
            log.info("created due runs", count=created)
        if planned >= self._limit or seen >= self._limit:
            return 0.0
        return await self._seconds_to_next()

    async def _plan_changed(self) -> int:
        """Find the next run of DAGs whose schedule is new or changed."""
        async with self._pool.connection() as connection, connection.transaction():
            rows = await self._rows(connection, "claim_unplanned", {"limit": self._limit})
            await self._store(connection, [(row, _or_none(row, row.last, row.now)) for row in rows])
        return len(rows)

    async def _create_due(self) -> tuple[int, int]:
        """Create one run for each of a batch of due DAGs; returns (created, looked at)."""
        async with self._pool.connection() as connection, connection.transaction():
            rows = await self._rows(connection, "claim_due", {"limit": self._limit, "except": self._excluded()})
            planned = [(row, row.to_create()) for row in rows]
            due = [(row, run) for row, run in planned if run is not None and run.run_after <= row.now]
            left = [(row, run) for row, run in planned if run is None or run.run_after > row.now]
            created = await self._create(connection, due)
            await self._store(connection, left)
            if created:
                await connection.execute(SQL["wake_workers"])
        return created, len(rows)

    async def _create(self, connection: AsyncConnection[Any], due: list[tuple[Due, RunInfo]]) -> int:
        """Create the runs and store the ones after; returns how many DAGs went on."""
        if not due:
            return 0
        refused = await self._refused_of(connection, due)
        gone_on = [(row, run) for number, (row, run) in enumerate(due, 1) if number not in refused]
        customs = [row.dag_key for row, _ in gone_on if row.is_custom]
        if customs:
            await connection.execute(SQL["ask_custom"], (customs,))
            await connection.execute(SQL["notify_schedule"])
        following = [(row, _or_none(row, run.interval, row.now)) for row, run in gone_on if not row.is_custom]
        await self._store(connection, following)
        return len(gone_on)

    async def _refused_of(self, connection: AsyncConnection[Any], due: list[tuple[Due, RunInfo]]) -> set[int]:
        """Create the runs; returns the numbers (from 1) of those that must not go on."""
        columns = zip(*(_arguments(row, run) for row, run in due), strict=True)
        problems = await (
            await connection.execute(SQL["create_due_runs"], [list(column) for column in columns])
        ).fetchall()
        refused = set()
        for number, code, message in problems:
            row, run = due[number - 1]
            if code == DUPLICATE:
                log.warning("a run for this date exists already", dag_id=row.dag_id, logical_date=run.logical_date)
            else:
                self._refuse(row, message)
                refused.add(number)
        return refused

    async def _store(self, connection: AsyncConnection[Any], planned: list[tuple[Due, RunInfo | None]]) -> None:
        if not planned:
            return
        await connection.execute(
            SQL["store_next_runs"],
            (
                [row.dag_key for row, _ in planned],
                [run and run.dates[0] for _, run in planned],
                [run and run.dates[1] for _, run in planned],
                [run and run.run_after for _, run in planned],
                [run and run.partition_key for _, run in planned],
                [run and run.partition_date for _, run in planned],
            ),
        )

    async def _seconds_to_next(self) -> float | None:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(SQL["seconds_to_next_run"])).fetchone()
        if row is None:
            return None
        seconds, blocked = row
        if blocked:
            return min(BLOCKED_POLL_SECONDS, float(seconds)) if seconds is not None else BLOCKED_POLL_SECONDS
        return None if seconds is None else float(seconds)

    async def _rows(self, connection: AsyncConnection[Any], name: str, arguments: dict[str, Any]) -> list[Due]:
        async with connection.cursor(row_factory=class_row(Due)) as cursor:
            await cursor.execute(SQL[name], arguments)
            return await cursor.fetchall()

    def _refuse(self, row: Due, problem: str) -> None:
        """Leave a DAG alone for a while, so that it cannot hold up the others."""
        log.error("a due run was refused", dag_id=row.dag_id, error=problem)
        self._refused[row.dag_key] = time.monotonic() + REFUSED_PAUSE_SECONDS

    def _excluded(self) -> list[int]:
        now = time.monotonic()
        self._refused = {key: until for key, until in self._refused.items() if until > now}
        return list(self._refused)


def _or_none(row: Due, last: DataInterval | None, now: datetime) -> RunInfo | None:
    """The next run, or None with a log line when the schedule cannot be computed."""
    try:
        return row.after(last, now)
    except SCHEDULE_ERRORS as error:
        log.error("this schedule cannot be computed, the DAG runs only by hand", dag_id=row.dag_id, error=str(error))
        return None


def _arguments(row: Due, run: RunInfo) -> tuple[Any, ...]:
    """What `create_due_runs` needs, in its order."""
    run_id = row.next_run_id or (None if run.partition_key else f"scheduled__{_iso(run.run_after)}")
    return row.dag_id, run_id, *run.dates, run.run_after, run.partition_key, run.partition_date


def _iso(moment: datetime) -> str:
    """Airflow's run ids end in `+00:00`, with microseconds only where there are any."""
    assert moment.utcoffset() == timedelta()
    return moment.isoformat()
