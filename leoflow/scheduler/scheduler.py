"""The composition of the scheduler's services over one pool and one listener."""

import asyncio

import structlog

from leoflow.config import Settings
from leoflow.db import Listener, Pool
from leoflow.db.queries import load
from leoflow.execution.usercode import UserCode
from leoflow.scheduler.asset_runs import AssetRuns
from leoflow.scheduler.callbacks import Callbacks
from leoflow.scheduler.custom_timetables import CustomTimetables
from leoflow.scheduler.due_runs import DueRuns
from leoflow.scheduler.heartbeat import Heartbeat
from leoflow.scheduler.jobs import Jobs
from leoflow.scheduler.outbox import Deadlines, Outbox
from leoflow.scheduler.partitioned_runs import PartitionedRuns
from leoflow.scheduler.service import Service
from leoflow.scheduler.timers import Archiver, Reaper, RunTimeouts, Timers, Watermark
from leoflow.scheduler.timetable_questions import TimetableQuestions
from leoflow.supervision import keep_running, running

log = structlog.get_logger(__name__)


class Scheduler:
    """Runs every service until cancelled. Any number may run on one database.

    Args:
        pool: connections for the services.
        dsn: for the connections they keep to themselves.
        settings: of the process.
        usercode: calls projects' code, for callbacks and custom timetables.
        kinds: the roles this process has in the health report.
    """

    def __init__(
        self,
        pool: Pool,
        dsn: str,
        settings: Settings,
        usercode: UserCode,
        *,
        kinds: tuple[str, ...] = ("scheduler",),
    ) -> None:
        self._dsn = dsn
        own = settings.scheduler
        self.services: list[Service] = [
            DueRuns(pool, own),
            AssetRuns(pool, own),
            CustomTimetables(pool, own, settings.usercode, usercode),
            TimetableQuestions(pool, settings.usercode, usercode),
            PartitionedRuns(pool, own, settings.usercode, usercode),
            Timers(pool, own),
            Reaper(pool, own),
            RunTimeouts(pool, own),
            Deadlines(pool, own),
            Outbox(pool, own),
            Watermark(pool),
            Archiver(pool),
            Heartbeat(pool, own, kinds=kinds),
        ]
        self._jobs = Jobs(dsn, settings.retention, settings.logs, Callbacks(pool, usercode, settings.usercode))

    async def run(self) -> None:
        """Start the services and keep them running until cancelled."""
        parts = {service.name: service.run for service in self.services}
        async with running({**parts, "background jobs": self._jobs.run}):
            await keep_running("scheduler wake-ups", self._listen)

    async def _listen(self) -> None:
        """Wake each service whose channel was notified."""
        channels = sorted({channel for service in self.services for channel in service.channels})
        async with Listener(self._dsn, channels, application_name="leoflow-scheduler-listen") as listener:
            self.wake()
            while True:
                for notification in await listener.wait(None):
                    self.wake(notification.channel)
                await asyncio.sleep(0)

    def wake(self, channel: str | None = None) -> None:
        """Make the services of a channel (None: all of them) look at the tables now."""
        for service in self.services:
            if channel is None or channel in service.channels:
                service.wake()


def timers_only(pool: Pool, settings: Settings, usercode: UserCode) -> list[Service]:
    """What a single run needs of the scheduler: retry times, lost leases, time-outs, timetables, runs of partitions.

    There are no due runs of other DAGs.
    """
    own = settings.scheduler
    return [
        Timers(pool, own),
        Reaper(pool, own),
        RunTimeouts(pool, own),
        TimetableQuestions(pool, settings.usercode, usercode),
        PartitionedRuns(pool, own, settings.usercode, usercode),
    ]


async def retire_earlier_workers(pool: Pool) -> None:
    """Give up every worker and triggerer there is: what they left goes on at once and not when their leases end.

    Only for who knows that they are dead: Lite, which holds the lock of its home and with it the embedded database.
    """
    async with pool.connection() as connection:
        await connection.execute(load("scheduler")["retire_all_workers"])
        await connection.execute("select leoflow_core.retire_all_triggerers()")
