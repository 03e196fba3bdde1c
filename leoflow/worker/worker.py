"""The worker: claims attempts while it has slots, runs each in a session, keeps its lease, drains when stopped."""

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from leoflow import engine
from leoflow.config import Settings
from leoflow.db import Listener, Pool
from leoflow.engine import ClaimedAttempt
from leoflow.execution.context import AttemptContext, Store
from leoflow.worker.finisher import Finisher
from leoflow.worker.launchers.base import Launcher
from leoflow.worker.log_shipper import LogShipper
from leoflow.worker.masking import Masker
from leoflow.worker.session import Session
from leoflow.worker.task_settings import TaskSettingsCache

log = structlog.get_logger(__name__)

WORK_CHANNEL = "leoflow_work"
_DATABASE_ERRORS = (psycopg.Error, PoolTimeout, OSError)


def default_slots() -> int:
    """Return how many attempts a worker runs at once unless told: four per core, for tasks that mostly wait."""
    return max(4, 4 * (os.cpu_count() or 1))


class Worker:
    """One worker.

    Args:
        pool: connections for claims, outcomes and the attempts' requests.
        settings: slots, leases and limits.
        launcher: starts attempts; closed by the worker at its end.
        dsn: for the connection that listens.
        queues: names of the queues to serve; None serves all.
    """

    def __init__(
        self, pool: Pool, settings: Settings, launcher: Launcher, *, dsn: str, queues: list[str] | None = None
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._launcher = launcher
        self._dsn = dsn
        self._queues = queues
        self._slots = settings.slots or default_slots()
        self._store = Store.of(pool, settings)
        self._task_settings = TaskSettingsCache(self._store)
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._worker_key = 0
        self._lease_until = 0.0
        self._draining = False
        self._idle = False
        self._listener: Listener | None = None
        self._shipper = LogShipper(pool)
        self._finisher = Finisher(
            pool,
            lambda: self._worker_key,
            self._free_slots,
            self._take,
            freed=self._wake,
            more_work=self._wake,
            flush_logs=self._shipper.flush_now,
        )

    @property
    def running(self) -> int:
        """How many attempts are running."""
        return len(self._sessions)

    async def run(self) -> None:
        """Work until cancelled, then drain: wait for running attempts, return what is left to the queue."""
        try:
            async with Listener(self._dsn, [WORK_CHANNEL], application_name="leoflow-worker") as listener:
                self._listener = listener
                await self._register()
                async with asyncio.TaskGroup() as group:
                    for service in (self._claim_forever(), self._beat(), self._finisher.run(), self._shipper.run()):
                        group.create_task(service)
        finally:
            await asyncio.shield(asyncio.ensure_future(self._close()))

    async def flush_logs(self) -> None:
        """Write all log lines that have come so far."""
        await self._shipper.flush()

    async def drain(self) -> None:
        """Stop claiming, wait for running attempts up to the grace period, kill the rest: `run`'s end returns them."""
        self._draining = True
        self._wake()
        deadline = time.monotonic() + self._settings.worker.drain_seconds
        while self._tasks and time.monotonic() < deadline:
            await asyncio.wait(self._tasks, timeout=max(0.0, deadline - time.monotonic()))
        self._abandon_running()
        await self._shipper.flush()

    # -- claiming -----------------------------------------------------------------------------------------

    async def _claim_forever(self) -> None:
        assert self._listener is not None
        while True:
            wanted = self._free_slots()
            claimed = await self._claim(wanted) if wanted else 0
            if wanted and claimed == wanted:
                continue
            if wanted and not claimed and await self._look_once_more():
                continue
            await self._listener.wait(random.uniform(0.5, 1.0) * self._settings.worker.poll_seconds)

    async def _look_once_more(self) -> bool:
        """Say that this worker sleeps, then look again: work that became claimable in between sent no wake-up."""
        if self._idle:
            return False
        try:
            await self._set_idle(True)
        except _DATABASE_ERRORS as error:
            log.warning("cannot say that the worker is idle", error=str(error))
        return True

    async def _set_idle(self, idle: bool) -> None:
        async with self._pool.connection() as connection:
            await engine.set_idle(connection, self._worker_key, idle)
        self._idle = idle

    async def _claim(self, wanted: int) -> int:
        try:
            async with self._pool.connection() as connection:
                attempts = await engine.claim(connection, self._worker_key, wanted, queues=self._queues)
        except _DATABASE_ERRORS as error:
            log.warning("claim failed, trying again", error=str(error))
            await asyncio.sleep(random.uniform(0.2, 1.0))
            return wanted
        self._take(attempts)
        if attempts and self._idle:
            await self._set_idle(False)
        return len(attempts)

    def _free_slots(self) -> int:
        """Return how many attempts may start; one that has reported its end does not count any more."""
        if self._draining:
            return 0
        busy = sum(1 for session in self._sessions.values() if not session.reported)
        return max(0, self._slots - busy)

    def _take(self, attempts: list[ClaimedAttempt]) -> None:
        for claimed in attempts:
            masker = Masker()
            context = AttemptContext(claimed, masker)
            session = Session(
                context,
                masker,
                self._task_settings,
                self._store,
                self._settings.worker,
                self._finisher,
                self._shipper.emitter(claimed),
                self._shipper.ender(claimed),
                self._shipper.render,
            )
            self._sessions[session.attempt_id] = session
            self._spawn(self._run_session(session))

    async def _run_session(self, session: Session) -> None:
        try:
            await session.run(self._launcher)
        except _DATABASE_ERRORS as error:
            log.warning("attempt's last words not saved", attempt_id=session.attempt_id, error=str(error))
        except Exception:
            log.exception("session failed", attempt_id=session.attempt_id)
            await session.give_up("Leoflow failed to supervise this task; its worker's log has the details.")
        finally:
            self._sessions.pop(session.attempt_id, None)
            if not session.is_recorded:
                self._wake()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _wake(self) -> None:
        if self._listener is not None:
            self._listener.wake()

    # -- the lease ----------------------------------------------------------------------------------------

    async def _register(self) -> None:
        async with self._pool.connection() as connection:
            self._worker_key = await engine.register_worker(
                connection,
                hostname=socket.gethostname(),
                pid=os.getpid(),
                slots=self._slots,
                queues=self._queues,
                lease=timedelta(seconds=self._settings.worker.lease_seconds),
            )
        self._lease_until = time.monotonic() + self._settings.worker.lease_seconds
        log.info("worker registered", worker_key=self._worker_key, slots=self._slots)

    async def _beat(self) -> None:
        worker = self._settings.worker
        while True:
            await asyncio.sleep(worker.heartbeat_seconds * random.uniform(0.8, 1.0))
            before = time.monotonic()
            try:
                async with self._pool.connection() as connection:
                    alive = await engine.heartbeat(
                        connection, self._worker_key, timedelta(seconds=worker.lease_seconds)
                    )
                if alive:
                    self._lease_until = before + worker.lease_seconds
                    await self._stop_stale_attempts()
            except _DATABASE_ERRORS as error:
                log.warning("heartbeat failed", error=str(error))
                alive = time.monotonic() < self._lease_until
            if not alive:
                await self._lost_lease()

    async def _lost_lease(self) -> None:
        """Kill everything: the attempts are being placed elsewhere. Then come back as a new worker."""
        log.error("worker lost its lease, its attempts are killed", attempts=len(self._sessions))
        for session in list(self._sessions.values()):
            session.abandon()
        with contextlib.suppress(*_DATABASE_ERRORS):
            await self._register()

    async def _stop_stale_attempts(self) -> None:
        """End attempts that were cancelled, marked or cleared while they run."""
        mine = [session for session in self._sessions.values() if not session.reported]
        if not mine:
            return
        async with self._pool.connection() as connection:
            stale = set(
                await engine.lost_attempts(
                    connection, self._worker_key, [session.attempt.claimed.ref for session in mine]
                )
            )
        for session in mine:
            if session.attempt.claimed.attempt_id in stale and not session.reported:
                session.terminate("The task's state was changed from outside while it ran; it is being ended.")

    # -- the end ------------------------------------------------------------------------------------------

    def _abandon_running(self) -> None:
        for session in self._sessions.values():
            session.abandon()

    async def _close(self) -> None:
        self._draining = True
        left = [session.attempt.claimed.ref for session in self._sessions.values() if not session.reported]
        self._abandon_running()
        self._finisher.close()
        await self._launcher.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        for task in self._tasks:
            task.cancel()
        await self._shipper.flush()
        with contextlib.suppress(*_DATABASE_ERRORS):
            async with self._pool.connection() as connection:
                if left:
                    await engine.release(
                        connection, self._worker_key, left, reason="its worker was stopped", is_drain=True
                    )
                await engine.retire_worker(connection, self._worker_key)
                await engine.wake_workers(connection)
