"""The triggerer: claims triggers under a lease, has child processes run them, records what came of them."""

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from typing import Any

import orjson
import psycopg
import structlog
from psycopg_pool import PoolTimeout

from leoflow import engine
from leoflow.config import Settings
from leoflow.db import Listener, Pool, retry_transient
from leoflow.db.retry import is_transient
from leoflow.engine import ClaimedTrigger, Firing
from leoflow.execution.context import AttemptContext, Store
from leoflow.supervision import Backoff
from leoflow.triggerer.runner import Fork, Runner, failure
from leoflow.triggerer.waiting import RunnerKey, Waiting
from leoflow.triggerer.watcher_events import WatcherEvents
from leoflow.worker.launchers.base import LaunchError
from leoflow.worker.log_shipper import LogShipper
from leoflow.worker.masking import Masker

log = structlog.get_logger(__name__)

TRIGGER_CHANNEL = "leoflow_triggers"
_DATABASE_ERRORS = (psycopg.Error, PoolTimeout, OSError)
_CLAIM_BATCH = 1000
_FIRE_BATCH = 500
_IDLE_RUNNER_SECONDS = 600.0
_STOPPING_SECONDS = 2.0


class Triggerer:
    """One triggerer. Any number may run on one database.

    Args:
        pool: connections for claims, firings and requests of triggers.
        settings: capacity, lease and limits.
        fork: starts the child processes.
        dsn: for the connection that listens.
        queues: serve only triggers deferred to these queues; None serves all.
    """

    def __init__(
        self, pool: Pool, settings: Settings, fork: Fork, *, dsn: str, queues: list[str] | None = None
    ) -> None:
        self._pool = pool
        self._settings = settings.triggerer
        self._frame_limit = settings.worker.frame_limit_bytes
        self._fork = fork
        self._dsn = dsn
        self._queues = queues
        self._store = Store.of(pool, settings)
        self._waiting: dict[int, Waiting] = {}
        self._runners: dict[RunnerKey, Runner] = {}
        self._tasks: dict[RunnerKey, asyncio.Task[None]] = {}
        self._fired: list[Firing] = []
        self._has_fired = asyncio.Event()
        self._shipper = LogShipper(pool)
        self._events = WatcherEvents(pool)
        self._has_stopped = asyncio.Event()
        self._notes: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._lease = timedelta(seconds=self._settings.lease_seconds)
        self._lease_until = 0.0
        self._key = 0
        self._claiming = asyncio.Lock()
        self._busy: dict[RunnerKey, float] = {}

    @property
    def waiting(self) -> int:
        """How many triggers it has."""
        return len(self._waiting)

    async def run(self) -> None:
        """Work until cancelled; its triggers are free for others afterwards."""
        try:
            async with Listener(self._dsn, [TRIGGER_CHANNEL], application_name="leoflow-triggerer") as listener:
                self._listener = listener
                await self._register()
                async with asyncio.TaskGroup() as group:
                    for service in (self._claim_forever(), self._beat(), self._fire_forever(), self._shipper.run()):
                        group.create_task(service)
        finally:
            await asyncio.shield(asyncio.ensure_future(self._close()))

    # -- claiming -----------------------------------------------------------------------------------------

    async def _claim_forever(self) -> None:
        assert self._listener is not None
        while True:
            room = min(self._settings.capacity - len(self._waiting), _CLAIM_BATCH)
            if room > 0 and await self._claim(room) == room:
                continue
            await self._listener.wait(random.uniform(0.7, 1.0) * self._settings.poll_seconds)

    async def _claim(self, room: int) -> int:
        by_runner: dict[RunnerKey, list[Waiting]] = {}
        async with self._claiming:
            try:
                async with self._pool.connection() as connection:
                    claimed = await engine.claim_triggers(connection, self._key, room, queues=self._queues)
                    # As in Airflow, after what tasks wait for, and not where the triggerer serves certain queues.
                    if len(claimed) < room and self._queues is None:
                        claimed += await engine.claim_watchers(connection, self._key, room - len(claimed))
            except _DATABASE_ERRORS as error:
                log.warning("claiming triggers failed, trying again", error=str(error))
                return 0
            for trigger in claimed:
                waiting = self._take(trigger)
                by_runner.setdefault(waiting.runner, []).append(waiting)
        for key, group in by_runner.items():
            self._runner(key).start(group)
        return len(claimed)

    def _take(self, trigger: ClaimedTrigger) -> Waiting:
        masker = Masker()
        context = AttemptContext(trigger.attempt, masker)
        runner = (trigger.attempt.environment_key, None)
        emit = _watcher_log(trigger) if trigger.is_watcher else self._shipper.emitter(trigger.attempt)
        waiting = Waiting(trigger, context, masker, emit, runner)
        self._waiting[trigger.key] = waiting
        return waiting

    # -- runners ------------------------------------------------------------------------------------------

    def _runner(self, key: RunnerKey) -> Runner:
        runner = self._runners.get(key)
        if runner is None:
            runner = Runner(key, self._fork, self._store, self._waiting, self, self._frame_limit)
            self._runners[key] = runner
            self._tasks[key] = asyncio.create_task(self._keep_runner(runner), name=f"runner {key}")
        return runner

    async def _keep_runner(self, runner: Runner) -> None:
        """Run a runner, again when it died, as long as triggers need it."""
        backoff = Backoff()
        try:
            while self._of(runner.key):
                try:
                    await runner.run(lambda: self._of(runner.key))
                except LaunchError as error:
                    if error.infrastructure:
                        log.warning("a process that runs triggers cannot be started", reason=error.reason)
                    else:
                        self._fail_all(runner.key, error.reason)
                self._forget_leaving(runner.key)
                await asyncio.sleep(backoff.pause())
        finally:
            if self._runners.get(runner.key) is runner:
                del self._runners[runner.key]
                del self._tasks[runner.key]

    def _of(self, key: RunnerKey) -> list[Waiting]:
        return [one for one in self._waiting.values() if one.runner == key and not (one.fired or one.is_leaving)]

    def _fail_all(self, key: RunnerKey, reason: str) -> None:
        for waiting in self._of(key):
            self.fired(failure(waiting.trigger.key, reason))

    def unknown(self, key: int) -> None:
        """Move a trigger whose class the environment does not have to a runner of its project."""
        waiting = self._waiting.get(key)
        if waiting is None:
            return
        attempt = waiting.trigger.attempt
        waiting.runner = (attempt.environment_key, attempt.bundle_path or "/")
        self._runner(waiting.runner).start([waiting])

    # -- firing -------------------------------------------------------------------------------------------

    def fired(self, firing: Firing) -> None:
        """Take what came of a trigger."""
        waiting = self._waiting.get(firing.key)
        if waiting is None or waiting.fired:
            return
        if waiting.trigger.is_watcher:
            self._spawn(self._events.failed(firing.key, "".join((firing.payload or {}).get("traceback") or ())))
            return
        waiting.fired = True
        self._fired.append(firing)
        self._has_fired.set()

    # -- watchers -----------------------------------------------------------------------------------------

    async def observed(self, waiting: Waiting, payload: Any) -> None:
        """Record an event of a watcher's trigger.

        Raises:
            ValueError: it cannot be kept.
        """
        await self._events.record(waiting.trigger.key, payload)

    def stopped(self, key: int) -> None:
        """Let go of a watcher's trigger that was to stop; others may run it."""
        waiting = self._waiting.get(key)
        if waiting is not None and waiting.is_leaving:
            del self._waiting[key]
            self._has_stopped.set()
            self._spawn(self._release_watcher(key))

    async def _release_watcher(self, key: int) -> None:
        with contextlib.suppress(*_DATABASE_ERRORS):  # if this fails, the next heartbeat frees it
            async with self._pool.connection() as connection:
                await engine.release_watchers(connection, self._key, [key])

    def _watched(self) -> list[int]:
        return [key for key, waiting in self._waiting.items() if waiting.trigger.is_watcher]

    def _stop_watchers(self, keys: Iterable[int]) -> None:
        """Have triggers of watchers stopped. They are kept until they say so: what they still see counts."""
        for key in keys:
            waiting = self._waiting.get(key)
            if waiting is None or waiting.is_leaving:
                continue
            waiting.is_leaving = True
            runner = self._runners.get(waiting.runner)
            if runner is None or not runner.cancel([key]):
                self.stopped(key)

    def _forget_leaving(self, runner: RunnerKey) -> None:
        """The process that was to stop triggers is gone, and they with it."""
        for key in [key for key, one in self._waiting.items() if one.runner == runner and one.is_leaving]:
            self.stopped(key)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _fire_forever(self) -> None:
        while True:
            await self._has_fired.wait()
            batch, self._fired = self._fired[:_FIRE_BATCH], self._fired[_FIRE_BATCH:]
            if not self._fired:
                self._has_fired.clear()
            await self._shipper.flush_now()
            if not await self._fire(batch):
                self._fired = batch + self._fired
                self._has_fired.set()
                await asyncio.sleep(random.uniform(0.5, 1.0))
                continue
            was_full = len(self._waiting) >= self._settings.capacity
            for firing in batch:
                self._waiting.pop(firing.key, None)
            if was_full and self._listener is not None:
                self._listener.wake()

    async def _fire(self, batch: list[Firing]) -> bool:
        """Record firings; False when the database stays away, so that they are to be tried again."""

        async def call() -> None:
            async with self._pool.connection() as connection:
                if await engine.fire_triggers(connection, self._key, batch):
                    await engine.wake_workers(connection)

        try:
            await retry_transient(call, attempts=30)
        except Exception as error:
            if is_transient(error):
                log.error("events of triggers not recorded yet", events=len(batch), error=str(error))
                return False
            if len(batch) > 1:
                # One of them is what the database cannot take; those recorded already change nothing the second time.
                return all([await self._fire([firing]) for firing in batch])
            if batch[0].outcome != "failed_trigger":
                reason = f"the database does not take the trigger's event: {error}"
                return await self._fire([failure(batch[0].key, reason)])
            log.error("a trigger's failure was not recorded", error=str(error))
        return True

    # -- the lease ----------------------------------------------------------------------------------------

    async def _register(self) -> None:
        async with self._pool.connection() as connection:
            self._key = await engine.register_triggerer(
                connection, hostname=socket.gethostname(), pid=os.getpid(), lease=self._lease
            )
        self._lease_until = time.monotonic() + self._settings.lease_seconds
        log.info("triggerer registered", triggerer_key=self._key, capacity=self._settings.capacity)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds * random.uniform(0.8, 1.0))
            before = time.monotonic()
            try:
                async with self._claiming, self._pool.connection() as connection:
                    watched = self._watched()
                    awaited = list(self._waiting.keys() - set(watched))
                    beat = await engine.triggerer_beat(connection, self._key, self._lease, awaited, watched)
                    alive = beat is not None
                    if beat is not None:
                        self._lease_until = before + self._settings.lease_seconds
                        self._let_go(beat.lost)
                        self._stop_watchers(beat.lost_watchers)
            except _DATABASE_ERRORS as error:
                log.warning("heartbeat failed", error=str(error))
                alive = time.monotonic() < self._lease_until
            if not alive:
                await self._lost_lease()
            self._close_idle_runners()

    def _let_go(self, keys: list[int]) -> None:
        """Cancel triggers that were cleared, marked, timed out, or that another triggerer has."""
        by_runner: dict[RunnerKey, list[int]] = {}
        for key in keys:
            waiting = self._waiting.pop(key, None)
            if waiting is not None and not waiting.fired:
                by_runner.setdefault(waiting.runner, []).append(key)
        for runner_key, cancelled in by_runner.items():
            if runner_key in self._runners:
                self._runners[runner_key].cancel(cancelled)

    def _close_idle_runners(self) -> None:
        """End the processes that had nothing to run for a while."""
        now = time.monotonic()
        for key in {waiting.runner for waiting in self._waiting.values()}:
            self._busy[key] = now
        for key, runner in list(self._runners.items()):
            if now - self._busy.setdefault(key, now) > _IDLE_RUNNER_SECONDS:
                runner.kill()
                del self._busy[key]

    async def _lost_lease(self) -> None:
        """Stop everything: others run these triggers now. Then come back as a new triggerer."""
        log.error("triggerer lost its lease, its triggers are stopped", triggers=len(self._waiting))
        await self._stop_runners()
        with contextlib.suppress(*_DATABASE_ERRORS):
            await self._register()

    async def _stop_runners(self) -> None:
        self._waiting.clear()
        self._fired.clear()
        tasks = list(self._tasks.values())
        self._runners.clear()
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _close(self) -> None:
        self._stop_watchers(self._watched())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOPPING_SECONDS):
                while self._watched():
                    self._has_stopped.clear()
                    await self._has_stopped.wait()
        await self._stop_runners()
        await self._events.close()
        await self._shipper.flush()
        with contextlib.suppress(*_DATABASE_ERRORS):
            async with self._pool.connection() as connection:
                if self._key:
                    await retry_transient(lambda: engine.retire_triggerer(connection, self._key), attempts=1)


def _watcher_log(trigger: ClaimedTrigger) -> Callable[[bytes], None]:
    """What a watcher's trigger logs goes into our own log: it has no task."""

    def emit(line: bytes) -> None:
        event = orjson.loads(line)
        level = {"warning": log.warning, "error": log.error, "critical": log.error}.get(event.get("level"), log.info)
        told = {name: event[name] for name in ("result", "error_detail") if name in event}
        level(
            "asset watcher", dag_id=trigger.attempt.dag_id, trigger=trigger.classpath, line=event.get("event"), **told
        )

    return emit
