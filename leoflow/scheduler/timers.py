"""What time causes: retries, lost leases, time-outs, moves to history; each a set-based function called when due."""

from typing import ClassVar

import structlog

from leoflow.config import SchedulerSettings
from leoflow.db import Pool, retry_transient
from leoflow.db.queries import Queries, load
from leoflow.scheduler.service import Service

SQL = load("scheduler")
ACTIVE_WATERMARK_SECONDS = 1.5
IDLE_WATERMARK_SECONDS = 15.0
ARCHIVE_PAUSE_SECONDS = 5.0

log = structlog.get_logger(__name__)


class SetBased(Service):
    """A service that calls one function with a limit until it has nothing more to do."""

    queries: ClassVar[Queries] = SQL
    call: ClassVar[str]
    next_due: ClassVar[str | None] = None
    wakes_workers: ClassVar[bool] = True

    def __init__(self, pool: Pool, settings: SchedulerSettings) -> None:
        super().__init__()
        self._pool = pool
        self._limit = settings.batch_size

    async def work(self) -> float | None:
        """Call the function for one batch; a full batch means there is more."""
        done = await retry_transient(self._call, attempts=3)
        if done:
            log.info(self.name, count=done)
        if done >= self._limit:
            return 0.0
        return await self._seconds_to_next()

    async def _call(self) -> int:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(self.queries[self.call], (self._limit,))).fetchone()
            done = int(row[0]) if row else 0
            if done and self.wakes_workers:
                await connection.execute(SQL["wake_workers"])
            return done

    async def _seconds_to_next(self) -> float | None:
        if self.next_due is None:
            return None
        async with self._pool.connection() as connection:
            row = await (await connection.execute(self.queries[self.next_due])).fetchone()
        return None if row is None or row[0] is None else float(row[0])


class Timers(SetBased):
    """Makes task instances claimable whose retry or reschedule time has come."""

    name = "timers"
    channels = ("leoflow_timers",)
    call = "promote_due"
    next_due = "seconds_to_next_timer"
    poll_seconds = 5.0


class Reaper(SetBased):
    """Places the attempts of vanished workers again, and those that were queued and never started."""

    name = "reaper"
    channels = ("leoflow_timers",)
    call = "reap"
    next_due = "seconds_to_next_lease"
    poll_seconds = 15.0


class Watermark(Service):
    """Follows the oldest unfinished run, below which claims need not look (see `refresh_watermark`)."""

    name = "low watermark"

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    async def work(self) -> float | None:
        """Refresh it; less often while nothing runs."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(SQL["refresh_watermark"])).fetchone()
        return ACTIVE_WATERMARK_SECONDS if row and row[0] is not None else IDLE_WATERMARK_SECONDS


class RunTimeouts(SetBased):
    """Fails runs that exceeded their `dagrun_timeout`."""

    name = "run timeouts"
    channels = ()
    call = "expire_runs"
    poll_seconds = 5.0


class Archiver(Service):
    """Moves the instances of runs that ended a while ago to history, so that the hot tables stay small."""

    name = "history"
    poll_seconds = 60.0

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    async def work(self) -> float | None:
        """Move one batch."""
        moved = await retry_transient(self._move, attempts=3)
        if moved:
            log.debug(self.name, runs=moved)
            return 0.0
        async with self._pool.connection() as connection:
            row = await (await connection.execute(SQL["seconds_to_archive"])).fetchone()
        return None if row is None or row[0] is None else max(float(row[0]), ARCHIVE_PAUSE_SECONDS)

    async def _move(self) -> int:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(SQL["archive_runs"])).fetchone()
        return int(row[0]) if row else 0
