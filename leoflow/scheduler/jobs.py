"""The control plane's background jobs, on procrastinate in the same database (schema `procrastinate`).

procrastinate's worker ends on some lost connections, loses its LISTEN on others, and never takes up a job whose worker
died. So it is run under supervision, its listener reconnects, and stalled jobs are put back from outside.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from procrastinate.connector import Notify
from procrastinate.exceptions import AlreadyEnqueued

from leoflow.config import LogsSettings, RetentionSettings
from leoflow.db.listener import Listener
from leoflow.db.pool import end_if_cancelled
from leoflow.db.queries import load
from leoflow.errors import UnreachableError
from leoflow.scheduler import log_copies
from leoflow.scheduler.callbacks import CallbackRequest, Callbacks
from leoflow.supervision import Backoff, log_failure

SQL = load("scheduler")
QUEUE = "leoflow"
KEEP_JOBS_HOURS = 72
STALLED_AFTER_SECONDS = 60.0
RETENTION_BATCH = 1_000
CALLBACK_TRIES = 5
"""How often a callback is tried whose environment or machine fails; one that raises was called and is not repeated."""
COPY_LOGS = "* * * * * */15"
"""Every 15 seconds: the sixth field is seconds."""

MISSED_SOME = '{"type": "job_inserted"}'
"""What procrastinate is told when a connection was lost: look for jobs."""

log = structlog.get_logger(__name__)


class Connector(PsycopgConnector):
    """procrastinate's connector, listening again after every lost connection and idle while nothing comes."""

    def __init__(self, dsn: str, **pool: Any) -> None:
        super().__init__(conninfo=dsn, **pool)
        self._dsn = dsn

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Listen until cancelled."""
        backoff, wanted = Backoff(), list(channels)
        while True:
            try:
                async with Listener(self._dsn, wanted, application_name="leoflow-jobs-listen") as listener:
                    while True:
                        for notification in await listener.wait():
                            payload = notification.payload or MISSED_SOME
                            await on_notification(channel=notification.channel, payload=payload)
            except UnreachableError as error:
                log_failure("background jobs: listener", error)
            await asyncio.sleep(backoff.pause())


class Jobs:
    """procrastinate's worker with Leoflow's jobs: callbacks, retention, partitions, log copies, its own clean-up."""

    def __init__(self, dsn: str, retention: RetentionSettings, logs: LogsSettings, callbacks: Callbacks) -> None:
        self._dsn = dsn
        self._retention = retention
        self._logs = logs
        self._callbacks = callbacks

    async def run(self) -> None:
        """Run until cancelled, or until procrastinate gives up; the caller starts it again."""
        app = self._app()
        await log_copies.enable(self._dsn, self._logs)
        async with app.open_async():
            await self._defer_at_start(app)
            worker = asyncio.create_task(
                app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=8,
                    install_signal_handlers=False,
                    delete_jobs="successful",
                    fetch_job_polling_interval=30.0,
                    abort_job_polling_interval=60.0,
                    update_heartbeat_interval=20.0,
                    stalled_worker_timeout=STALLED_AFTER_SECONDS,
                    shutdown_graceful_timeout=5.0,
                )
            )
            stalled = asyncio.create_task(_retry_stalled_forever(app))
            try:
                await asyncio.wait((worker, stalled), return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _end(stalled, worker)

    def _app(self) -> App:
        connector = Connector(
            self._dsn,
            min_size=1,
            max_size=3,
            kwargs={"options": "-c search_path=procrastinate", "application_name": "leoflow-jobs"},
        )
        app = App(connector=connector)
        self._register(app)
        return app

    def _register(self, app: App) -> None:
        retry = RetryStrategy(max_attempts=5, exponential_wait=4)
        dsn, keep, logs = self._dsn, timedelta(days=self._retention.days), self._logs
        keep_logs = None if self._retention.log_days is None else timedelta(days=self._retention.log_days)

        @app.periodic(cron=self._retention.schedule)
        @app.task(name="retention", queue=QUEUE, queueing_lock="retention", lock="retention", retry=retry)
        async def retention(timestamp: int) -> None:
            del timestamp
            await clean_up(dsn, keep, keep_logs)
            await app.job_manager.delete_old_jobs(
                nb_hours=KEEP_JOBS_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
            )

        tries = RetryStrategy(max_attempts=CALLBACK_TRIES, exponential_wait=4)

        @app.task(name="callback", queue=QUEUE, retry=tries, pass_context=True)
        async def callback(context: JobContext, /, **request: Any) -> None:
            is_last_try = context.job.attempts + 1 >= CALLBACK_TRIES
            await self._callbacks.carry_out(CallbackRequest(**request), is_last_try=is_last_try)

        if logs.store_url is None:
            return

        @app.periodic(cron=COPY_LOGS)
        @app.task(name="copy_logs", queue=QUEUE, queueing_lock="copy_logs", lock="copy_logs")
        async def copy_logs(timestamp: int) -> None:
            del timestamp
            await log_copies.copy_logs(dsn, logs)

    async def _defer_at_start(self, app: App) -> None:
        """A machine that is rarely on at the scheduled minute cleans up when it starts."""
        try:
            await app.configure_task("retention").defer_async(timestamp=0)
        except AlreadyEnqueued:
            log.debug("retention is queued already")


async def clean_up(dsn: str, keep: timedelta, keep_logs: timedelta | None = None) -> int:
    """Create the partitions of the time ahead and remove finished work older than `keep`; returns the runs removed.

    Args:
        dsn: the database.
        keep: how long finished runs stay.
        keep_logs: how long logs stay, when not as long as their runs.
    """
    removed = 0
    connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True, application_name="leoflow-retention")
    async with connection:
        await connection.execute(SQL["maintain_partitions"])
        while True:
            row = await (await connection.execute(SQL["retain"], (keep, RETENTION_BATCH))).fetchone()
            batch = int(row[0]) if row else 0
            removed += batch
            if batch < RETENTION_BATCH:
                break
        if keep_logs is not None:
            await connection.execute(SQL["retain_logs"], (keep_logs,))
    if removed:
        log.info("removed old runs", count=removed)
    return removed


async def _retry_stalled_forever(app: App) -> None:
    while True:
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER_SECONDS):
            log.warning("putting back a job whose worker vanished", job=job.task_name, job_id=job.id)
            await app.job_manager.retry_job(job)
        end_if_cancelled()
        await asyncio.sleep(STALLED_AFTER_SECONDS)


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Stop tasks and log what they raised."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            log_failure("background jobs", result)
