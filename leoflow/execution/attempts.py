"""An attempt's own life, told from a distance: it starts, it lives, it ends. Fenced by its id.

On the same machine the worker that supervises the attempt knows these things itself; over HTTP the attempt says them.
"""

import datetime as dt
import socket
from dataclasses import dataclass
from uuid import UUID

import orjson

from leoflow import engine
from leoflow.db import queries, retry_transient
from leoflow.engine import AttemptRef, ClaimedAttempt, FinishResult, LogChunk
from leoflow.engine import Outcome as EngineOutcome
from leoflow.execution import task_instances
from leoflow.execution.assets import consumed_events
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError, refused
from leoflow.execution.outcomes import outcome_of, storable
from leoflow.execution.run_context import run_context

_LAST_WORDS_SECONDS = 30.0
_NO_WORKER = 0
_RUNNING = ("running", "restarting")  # a cleared attempt still says how it ended, and starts the next try thereby
_NOT_RUNNING = "TI was not in the running state so it cannot be updated"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an attempt stands; `state` and the process are those of its instance's current attempt."""

    is_current: bool
    state: str | None = None
    hostname: str | None = None
    pid: int | None = None
    ended_seconds: float = 0.0
    is_superseded: bool = False


async def standing(store: Store, attempt: AttemptRef) -> Standing:
    """Ask where an attempt stands."""
    row = await store.row(queries.load("execution").attempt_standing, _key(attempt))
    return Standing(*row) if row else Standing(is_current=False)


async def living(store: Store, attempt: AttemptRef) -> ClaimedAttempt:
    """Return an attempt that may ask for things: it runs, or has ended so lately that its last words may come.

    Raises:
        FaultError: 403, it is over.
    """
    async with store.pool.connection() as connection:
        claimed = await engine.describe(connection, attempt)
    if claimed is not None and claimed.state in _RUNNING:
        return claimed
    if claimed is not None and claimed.state != "queued":
        found = await standing(store, attempt)
        if found.is_current and found.ended_seconds < _LAST_WORDS_SECONDS:
            return claimed
    raise FaultError("PERMISSION_DENIED", {"status_code": 403, "message": "Invalid auth token: the attempt is over"})


async def enter_running(store: Store, attempt: AttemptRef, *, pid: int, hostname: str) -> Reply:
    """Start a queued attempt in a process; the same process may say it twice. Returns its run context.

    Raises:
        FaultError: 404 unknown or superseded, 409 it is not queued.
    """
    async with store.pool.connection() as connection:
        entered = await engine.enter_running(connection, attempt, pid=pid, hostname=hostname)
        claimed = await engine.describe(connection, attempt) if entered else None
    if claimed is None:
        raise await _refusal(store, attempt, "TI was not in a state where it could be marked as running")
    return run_context(claimed, await consumed_events(store, claimed.run_key, claimed.run_type))


async def heartbeat(store: Store, attempt: AttemptRef, *, pid: int, hostname: str) -> None:
    """Tell an attempt whether it is to go on. Its worker's lease says that it lives, so nothing is written.

    Raises:
        FaultError: 404 unknown, 410 superseded, 409 it runs elsewhere or is not to run any more.
    """
    found = await standing(store, attempt)
    if not found.is_current:
        if not found.is_superseded:
            raise _unknown()
        text = "Task Instance not found, it may have been moved to the Task Instance History table"
        raise refused(text, 410, reason="not_found")
    if (found.hostname, found.pid) != (hostname, pid):
        raise refused(
            "TI is already running elsewhere",
            409,
            reason="running_elsewhere",
            current_hostname=found.hostname,
            current_pid=found.pid,
        )
    if found.state != "running":
        text = "TI is no longer in the running state and task should terminate"
        raise refused(text, 409, reason="not_running", current_state=found.state)


async def running(store: Store, attempt: AttemptRef) -> ClaimedAttempt:
    """Return an attempt that runs, and so may report how it ended.

    Raises:
        FaultError: 404 unknown or superseded, 409 it does not run.
    """
    async with store.pool.connection() as connection:
        claimed = await engine.describe(connection, attempt)
    if claimed is None or claimed.state not in _RUNNING:
        raise await _refusal(store, attempt, _NOT_RUNNING)
    return claimed


async def report(store: Store, attempt: AttemptContext, message: Message) -> None:
    """Record how an attempt ended, from one of the messages in `outcomes.TERMINAL`, and all that follows from it.

    Raises:
        FaultError: 404 unknown or superseded, 409 it does not run.
    """
    ref = attempt.claimed.ref
    outcome, problem = storable(outcome_of(attempt, message))
    if problem is not None:
        await note(store, attempt.claimed, problem)
    await save_rendered(store, attempt)
    finished = EngineOutcome(
        ref, outcome.state, outcome.is_retryable, outcome.due_at, tuple(outcome.xcoms), outcome.outlets
    )

    async def call() -> FinishResult:
        async with store.pool.connection() as connection:
            if outcome.deferral is not None:
                await engine.defer(connection, [(ref, outcome.deferral)])
            return await engine.finish(connection, _NO_WORKER, [finished])

    result = await retry_transient(call)
    if result.stale:
        raise await _refusal(store, ref, _NOT_RUNNING)
    async with store.pool.connection() as connection:
        if outcome.sets_a_timer:
            await connection.execute("notify leoflow_timers")
        if outcome.deferral is not None:
            await connection.execute("notify leoflow_triggers")
        made = outcome.outlets is not None and (await engine.create_asset_runs(connection)).created
        if result.ready or made:
            await engine.wake_workers(connection)


async def save_rendered(store: Store, attempt: AttemptContext) -> None:
    """Write what `task_instances.set_rendered_*` kept."""
    rendered = task_instances.take_rendered(attempt)
    if rendered is not None:
        async with store.pool.connection() as connection:
            await engine.record_output(connection, [], [rendered], hostname=socket.gethostname())


async def note(store: Store, claimed: ClaimedAttempt, text: str) -> None:
    """Write a line of our own into an attempt's log."""
    line = {"timestamp": dt.datetime.now(dt.UTC), "level": "error", "event": text, "logger": "leoflow.execution"}
    chunk = LogChunk(
        claimed.run_key,
        claimed.task_idx,
        claimed.map_index,
        claimed.try_number,
        orjson.dumps(line).decode() + "\n",
        1,
        claimed.attempt_id,
    )
    async with store.pool.connection() as connection:
        await engine.append_log(connection, [chunk])


async def _refusal(store: Store, attempt: AttemptRef, message: str) -> FaultError:
    found = await standing(store, attempt)
    if not found.is_current:
        return _unknown()
    return refused(message, 409, reason="invalid_state", previous_state=found.state)


def _unknown() -> FaultError:
    return refused("Task Instance not found", 404, reason="not_found")


def _key(attempt: AttemptRef) -> dict[str, int | UUID]:
    return {
        "run_key": attempt.run_key,
        "task_idx": attempt.task_idx,
        "map_index": attempt.map_index,
        "attempt_id": attempt.attempt_id,
    }
