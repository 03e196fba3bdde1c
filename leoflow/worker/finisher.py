"""Tells the engine how attempts ended, in natural batches: what ends while one report is under way goes next."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from leoflow import engine
from leoflow.db import Pool, retry_transient
from leoflow.db.retry import is_transient
from leoflow.engine import ClaimedAttempt, FinishResult
from leoflow.engine import Outcome as EngineOutcome
from leoflow.execution.outcomes import Outcome
from leoflow.worker.session import Session

log = structlog.get_logger(__name__)

_MAX_BATCH = 500


@dataclass(slots=True)
class _Report:
    session: Session
    outcome: Outcome
    done: "asyncio.Future[bool]"


class Finisher:
    """Batches outcomes.

    Args:
        pool: connections.
        worker_key: the worker's present key.
        free_slots: how many attempts the worker could start now; that many successors may be handed over directly.
        take: receives handed-over attempts, which are running already as far as the database is concerned.
        freed: called when more attempts ended than were handed over.
        flush_logs: writes the log lines that have come so far, beside the outcomes.
        more_work: called when something became claimable that was not handed over.
    """

    def __init__(
        self,
        pool: Pool,
        worker_key: Callable[[], int],
        free_slots: Callable[[], int],
        take: Callable[[list[ClaimedAttempt]], None],
        freed: Callable[[], None],
        more_work: Callable[[], None],
        flush_logs: Callable[[], Awaitable[None]],
    ) -> None:
        self._pool = pool
        self._worker_key = worker_key
        self._free_slots = free_slots
        self._take = take
        self._freed = freed
        self._more_work = more_work
        self._flush_logs = flush_logs
        self._waiting: list[_Report] = []
        self._arrived = asyncio.Event()

    def report(self, session: Session, outcome: Outcome) -> Awaitable[bool]:
        """Queue an outcome; the result resolves after the commit."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Report(session, outcome, done))
        self._arrived.set()
        return done

    async def give_back(self, session: Session, reason: str) -> None:
        """Return an attempt to the queue without spending one of the user's retries."""
        async with self._pool.connection() as connection:
            await engine.release(connection, self._worker_key(), [session.attempt.claimed.ref], reason=reason)
            await engine.wake_workers(connection)

    def close(self) -> None:
        """Answer what was not reported: not recorded."""
        waiting, self._waiting = self._waiting, []
        for report in waiting:
            if not report.done.done():
                report.done.set_result(False)

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await self._arrived.wait()
            batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
            if not self._waiting:
                self._arrived.clear()
            try:
                await asyncio.gather(self._finish(batch), self._flush_logs())
            except BaseException:
                # Cancelled, or the database stays away: the lease decides what becomes of these attempts.
                for report in batch:
                    if not report.done.done():
                        report.done.set_result(False)
                raise

    async def _finish(self, batch: list[_Report]) -> None:
        try:
            result = await self._call(batch)
        except Exception as error:
            if is_transient(error) or (len(batch) == 1 and not _replace(batch[0], error)):
                log.error("outcomes not recorded", attempts=len(batch), error=str(error))
                for report in batch:  # or they would stay running for as long as this worker lives
                    with contextlib.suppress(psycopg.Error, PoolTimeout):
                        await self.give_back(report.session, "its outcome could not be recorded")
                _resolve(batch, {report.session.attempt.claimed.attempt_id for report in batch})
                return
            # One of them is what the database cannot take; find it.
            for report in batch:
                await self._finish([report])
            return
        _resolve(batch, result.stale)
        if result.handed:
            self._take(result.handed)
        for report in batch:
            report.session.is_recorded = True
        if len(result.handed) < len(batch):
            self._freed()
        await self._notify(batch)
        made = any(report.outcome.outlets for report in batch) and await self._create_asset_runs()
        if result.ready or made:
            self._more_work()
            async with self._pool.connection() as connection:
                await engine.wake_workers(connection)

    async def _notify(self, batch: list[_Report]) -> None:
        channels = {
            "notify leoflow_timers": any(report.outcome.sets_a_timer for report in batch),
            "notify leoflow_triggers": any(report.outcome.deferral is not None for report in batch),
        }
        if any(channels.values()):
            async with self._pool.connection() as connection:
                for statement, is_wanted in channels.items():
                    if is_wanted:
                        await connection.execute(statement.encode())

    async def _create_asset_runs(self) -> bool:
        """Start what the batch's asset events are sufficient for; a scheduler does it if this does not get to it."""
        try:
            async with self._pool.connection() as connection:
                return (await engine.create_asset_runs(connection)).created > 0
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("runs of asset events are left to the scheduler", error=str(error))
            return False

    async def _call(self, batch: list[_Report]) -> FinishResult:
        finished = [_for_engine(report) for report in batch]
        deferrals = [
            (report.session.attempt.claimed.ref, report.outcome.deferral)
            for report in batch
            if report.outcome.deferral is not None
        ]

        async def call() -> FinishResult:
            async with self._pool.connection() as connection:
                if deferrals:
                    await engine.defer(connection, deferrals)
                return await engine.finish(connection, self._worker_key(), finished, handoff=self._free_slots())

        return await retry_transient(call, attempts=30)


def _replace(report: _Report, error: Exception) -> bool:
    """Report a failure in place of what the database will never take, or the attempt would run for ever. Once."""
    if report.outcome.is_refused:
        return False
    report.session.lines.note(f"How the task ended cannot be recorded, so it counts as failed: {error}")
    report.outcome = Outcome("failed", is_retryable=report.outcome.is_retryable, is_refused=True)
    return True


def _for_engine(report: _Report) -> EngineOutcome:
    outcome = report.outcome
    return EngineOutcome(
        report.session.attempt.claimed.ref,
        outcome.state,
        retryable=outcome.is_retryable,
        due_at=outcome.due_at,
        xcoms=tuple(outcome.xcoms),
        outlets=outcome.outlets,
        is_silent=outcome.is_silent,
    )


def _resolve(batch: list[_Report], stale: Collection[UUID]) -> None:
    for report in batch:
        if not report.done.done():
            report.done.set_result(report.session.attempt.claimed.attempt_id not in stale)
