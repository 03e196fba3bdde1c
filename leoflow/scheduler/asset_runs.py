"""Starts the runs that asset events are sufficient for, where whoever recorded the events did not get to it."""

import structlog

from leoflow import engine
from leoflow.config import SchedulerSettings
from leoflow.db import Pool, retry_transient
from leoflow.engine import AssetRuns as Created
from leoflow.scheduler.service import Service

BLOCKED_POLL_SECONDS = 1.0

log = structlog.get_logger(__name__)


class AssetRuns(Service):
    """Looks at the queues of asset events: after events from outside, a new schedule, an unpaused DAG, a crash."""

    name = "asset runs"
    channels = ("leoflow_assets", "leoflow_schedule")
    poll_seconds = 5.0

    def __init__(self, pool: Pool, settings: SchedulerSettings) -> None:
        super().__init__()
        self._pool = pool
        self._limit = settings.batch_size

    async def work(self) -> float | None:
        """Create one batch of runs; soon again while a DAG waits for one of its runs to end."""
        done = await retry_transient(self._create, attempts=3)
        if done.created:
            log.info(self.name, count=done.created)
        if done.created >= self._limit:
            return 0.0
        return BLOCKED_POLL_SECONDS if done.blocked else None

    async def _create(self) -> Created:
        async with self._pool.connection() as connection:
            done = await engine.create_asset_runs(connection, self._limit)
            if done.created:
                await engine.wake_workers(connection)
            return done
