"""Deferral: what a deferred task instance waits for, and the triggerers that wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from leoflow.engine import rows
from leoflow.engine.rows import Connection
from leoflow.engine.types import AttemptRef, ClaimedAttempt

FAILED_TRIGGER = "failed_trigger"
EVENT = "event"


@dataclass(frozen=True, slots=True)
class Deferral:
    """What an attempt waits for and how it goes on.

    Attributes:
        classpath: import path of the trigger's class.
        kwargs: its arguments, as the Task SDK encoded them.
        next_method: the operator's method to call then.
        next_kwargs: its arguments, encoded likewise.
        timeout_seconds: after how long to give up, None for never.
        queue: of the triggerers that may run it, None for those that serve every queue.
    """

    classpath: str
    kwargs: dict[str, Any]
    next_method: str
    next_kwargs: dict[str, Any]
    timeout_seconds: float | None = None
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimedTrigger:
    """A trigger to run, and the attempt that waits for it.

    Attributes:
        key: one number space for those of tasks and those of asset watchers.
        classpath: import path of the trigger's class.
        kwargs: its arguments, as the Task SDK encoded them.
        attempt: the attempt; of a watcher nobody's, it only says whose environment, project and secrets there are.
        is_watcher: it makes events of assets.
    """

    key: int
    classpath: str
    kwargs: dict[str, Any]
    attempt: ClaimedAttempt
    is_watcher: bool = False


@dataclass(frozen=True, slots=True)
class Firing:
    """What came of a trigger.

    Attributes:
        key: of the trigger.
        outcome: `event` (the task goes on), `failed_trigger` (it goes on in order to fail), or the state it ends in:
            success, failed or skipped.
        payload: of the event, encoded by the Task SDK; of a failure, the arguments of `__fail__`.
        xcoms: key and encoded value, for a task that ends.
    """

    key: int
    outcome: str
    payload: Any = None
    xcoms: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Beat:
    """Which of its triggers a living triggerer must stop.

    Attributes:
        lost: those of tasks that nothing waits for any more, or that others have.
        lost_watchers: those of asset watchers; `release_watchers` says when they have stopped.
    """

    lost: list[int]
    lost_watchers: list[int]


async def defer(conn: Connection, deferrals: Sequence[tuple[AttemptRef, Deferral]]) -> None:
    """Write down what attempts wait for, ahead of the `finish` that makes them deferred."""
    await conn.execute(
        "select leoflow_core.defer(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            [ref.run_key for ref, _ in deferrals],
            [ref.task_idx for ref, _ in deferrals],
            [ref.map_index for ref, _ in deferrals],
            [ref.attempt_id for ref, _ in deferrals],
            [deferral.classpath for _, deferral in deferrals],
            [Jsonb(deferral.kwargs) for _, deferral in deferrals],
            [deferral.next_method for _, deferral in deferrals],
            [Jsonb(deferral.next_kwargs) for _, deferral in deferrals],
            [deferral.timeout_seconds for _, deferral in deferrals],
            [deferral.queue for _, deferral in deferrals],
        ),
    )


async def register_triggerer(conn: Connection, *, hostname: str, pid: int, lease: timedelta) -> int:
    """Register a triggerer with a lease and return its key."""
    key: int = await rows.value(conn, "select leoflow_core.register_triggerer(%s, %s, %s)", (hostname, pid, lease))
    return key


async def triggerer_beat(
    conn: Connection, triggerer_key: int, lease: timedelta, triggers: Sequence[int], watchers: Sequence[int]
) -> Beat | None:
    """Renew a triggerer's lease and say which triggers it runs. None: it is lost, and others may run them."""
    alive, lost, lost_watchers = await rows.one(
        conn,
        "select alive, lost, lost_watchers from leoflow_core.triggerer_beat(%s, %s, %s, %s)",
        (triggerer_key, lease, list(triggers), list(watchers)),
    )
    return Beat(lost, lost_watchers) if alive else None


async def retire_triggerer(conn: Connection, triggerer_key: int) -> None:
    """Say goodbye: others may run its triggers at once."""
    await conn.execute("select leoflow_core.retire_triggerer(%s)", (triggerer_key,))


async def claim_triggers(
    conn: Connection, triggerer_key: int, limit: int, *, queues: list[str] | None = None
) -> list[ClaimedTrigger]:
    """Take up to `limit` triggers, oldest first.

    Raises:
        psycopg.Error: SQLSTATE LF410 when the triggerer's lease is lost.
    """
    found = await rows.all_rows(
        conn,
        "select c.trigger_key, c.classpath, c.kwargs, (c.attempt).* from leoflow_core.claim_triggers(%s, %s, %s) as c",
        (triggerer_key, limit, queues),
    )
    return [ClaimedTrigger(row[0], row[1], row[2], ClaimedAttempt(*row[3:])) for row in found]


async def fire_triggers(conn: Connection, triggerer_key: int, firings: Sequence[Firing]) -> int:
    """Say what came of triggers; returns how many instances became claimable: wake workers after the commit if any."""
    xcoms = [(item, key, value) for item, firing in enumerate(firings, 1) for key, value in firing.xcoms]
    ready: int = await rows.value(
        conn,
        "select leoflow_core.fire_triggers(%s, %s, %s, %s, %s, %s, %s)",
        (
            triggerer_key,
            [firing.key for firing in firings],
            [firing.outcome for firing in firings],
            [Jsonb(firing.payload) for firing in firings],
            [item for item, _, _ in xcoms],
            [key for _, key, _ in xcoms],
            [value for _, _, value in xcoms],
        ),
    )
    return ready
