"""The life of an attempt: claim, start, finish, and what it writes in between."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import tuple_row

from leoflow.db.arrays import Bigints, Bools, Byteas, Ints, Jsonbs, Texts, Uuids
from leoflow.engine import assets, rows
from leoflow.engine.rows import Connection
from leoflow.engine.types import (
    AttemptRef,
    ClaimedAttempt,
    FinishResult,
    LogChunk,
    Outcome,
    Rendered,
)

_CLAIM = "select * from leoflow_core.claim(%s, %s, %s, %s)"
_APPEND_LOG = """
select leoflow_core.append_log(
    %s, %s, %s, %s, p_attempt_ids => %s, p_lines => %s, p_line_counts => %s, p_are_last => %s
)
"""
_RECORD_OUTPUT = """
select leoflow_core.record_output(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_FINISH = """
select f.outcome, (f.attempt).*
from leoflow_core.finish(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) as f
"""


async def claim(
    conn: Connection, worker_key: int, limit: int, *, queues: list[str] | None = None, start: bool = True
) -> list[ClaimedAttempt]:
    """Take up to `limit` attempts within all limits, best first. Never in one transaction with `finish`.

    Args:
        conn: autocommit connection.
        worker_key: from `register_worker`.
        limit: free slots.
        queues: None for every queue.
        start: the attempts run at once; otherwise they are queued until `start`.

    Raises:
        psycopg.Error: SQLSTATE LF410 when the worker's lease is lost.
    """
    found = await rows.all_rows(conn, _CLAIM, (worker_key, limit, queues, start))
    return [ClaimedAttempt(*row) for row in found]


async def finish(
    conn: Connection, worker_key: int, outcomes: Sequence[Outcome], *, handoff: int = 0, start: bool = True
) -> FinishResult:
    """Write the outcomes of a batch of attempts and all that follows from them, in one transaction.

    Args:
        conn: autocommit connection.
        worker_key: from `register_worker`.
        outcomes: how attempts ended, with their XComs.
        handoff: how many newly ready successors this worker takes over at once. Now and then pass 0 and `claim`
            instead, so that other runs and priorities get their turn.
        start: as for `claim`.
    """
    xcoms = [(item, x) for item, outcome in enumerate(outcomes, 1) for x in outcome.xcoms]
    params: tuple[Any, ...] = (
        worker_key,
        *_keys([o.attempt for o in outcomes]),
        Texts(o.state for o in outcomes),
        Bools(o.retryable for o in outcomes),
        [o.due_at for o in outcomes] if any(o.due_at for o in outcomes) else None,
        Ints(item for item, _ in xcoms) or None,
        Texts(x.key for _, x in xcoms) or None,
        Byteas(x.value for _, x in xcoms) or None,
        handoff,
        start,
        [x.mapped_length for _, x in xcoms] if any(x.mapped_length is not None for _, x in xcoms) else None,
        assets.outlets_json(outcomes),
        [item for item, outcome in enumerate(outcomes, 1) if outcome.is_silent] or None,
    )
    handed: list[ClaimedAttempt] = []
    stale: list[UUID] = []
    ready = False
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_FINISH, params)
        async for outcome, *attempt in cursor:
            if outcome == "handed":
                handed.append(ClaimedAttempt(*attempt))
            elif outcome == "stale":
                stale.append(attempt[0])
            else:
                ready = True
    return FinishResult(handed, stale, ready)


def _keys(attempts: Sequence[AttemptRef]) -> tuple[Bigints, Ints, Ints, Uuids]:
    return (
        Bigints(a.run_key for a in attempts),
        Ints(a.task_idx for a in attempts),
        Ints(a.map_index for a in attempts),
        Uuids(a.attempt_id for a in attempts),
    )


async def start(
    conn: Connection,
    worker_key: int,
    attempts: Sequence[AttemptRef],
    *,
    pids: Sequence[int | None] | None = None,
    hostname: str | None = None,
    unixname: str | None = None,
) -> list[UUID]:
    """Mark attempts as started, with pid and host. Returns the ids that lost their place: these must not run."""
    found = await rows.all_rows(
        conn,
        "select leoflow_core.start(%s, %s, %s, %s, %s, %s, %s, %s)",
        (worker_key, *_keys(attempts), list(pids) if pids is not None else None, hostname, unixname),
    )
    return [row[0] for row in found]


async def enter_running(conn: Connection, attempt: AttemptRef, *, pid: int, hostname: str) -> bool:
    """A process says that it runs a queued attempt. False: it must not; another does, or the attempt lost its place."""
    entered: bool = await rows.value(
        conn,
        "select leoflow_core.enter_running(%s, %s, %s, %s, %s, %s)",
        (attempt.run_key, attempt.task_idx, attempt.map_index, attempt.attempt_id, pid, hostname),
    )
    return entered


async def describe(conn: Connection, attempt: AttemptRef) -> ClaimedAttempt | None:
    """What `claim` said of an attempt, as it is now. None: it is not its instance's current one."""
    found = await rows.all_rows(
        conn,
        "select * from leoflow_core.describe_attempts(array[row(%s, %s, %s)::leoflow_core.instance_ref])",
        (attempt.run_key, attempt.task_idx, attempt.map_index),
    )
    described = [ClaimedAttempt(*row) for row in found]
    return described[0] if described and described[0].attempt_id == attempt.attempt_id else None


async def lost_attempts(conn: Connection, worker_key: int, attempts: Sequence[AttemptRef]) -> list[UUID]:
    """Which of the worker's attempts must stop, because they were cleared, marked, reaped or deleted."""
    found = await rows.all_rows(
        conn, "select leoflow_core.lost_attempts(%s, %s, %s, %s, %s)", (worker_key, *_keys(attempts))
    )
    return [row[0] for row in found]


async def put_xcom(
    conn: Connection, attempt: AttemptRef, key: str, value: bytes, *, mapped_length: int | None = None
) -> bool:
    """Store one XCom (encoded JSON) of a running attempt. False: the attempt lost its place."""
    stored: bool = await rows.value(
        conn,
        "select leoflow_core.put_xcom(%s, %s, %s, %s, %s, %s, %s)",
        (attempt.run_key, attempt.task_idx, attempt.map_index, attempt.attempt_id, key, value, mapped_length),
    )
    return stored


async def append_log(conn: Connection, chunks: Sequence[LogChunk]) -> None:
    """Append log lines of attempts. Not durable by itself: the next durable commit carries them."""
    await conn.execute(_APPEND_LOG, _log(chunks))


async def record_output(
    conn: Connection, chunks: Sequence[LogChunk], rendered: Sequence[Rendered], *, hostname: str
) -> None:
    """Append log lines, and note what is known of running attempts (at most one entry each), in one statement.

    Not durable by itself, like `append_log`. `hostname` is where the processes are that `rendered` names.
    """
    placed = [each for each in rendered if each.pid is not None]
    shown = [each for each in rendered if each.fields is not None or each.label is not None]
    nothing: tuple[None, ...] = (None,)
    await conn.execute(
        _RECORD_OUTPUT,
        (
            *(_log(chunks) if chunks else nothing * 8),
            *(
                (*_keys([each.attempt for each in placed]), Ints(each.pid or 0 for each in placed))
                if placed
                else nothing * 5
            ),
            hostname,
            *(_shown(shown) if shown else nothing * 6),
        ),
    )


def _log(chunks: Sequence[LogChunk]) -> tuple[Any, ...]:
    return (
        Bigints(c.run_key for c in chunks),
        Ints(c.task_idx for c in chunks),
        Ints(c.map_index for c in chunks),
        Ints(c.try_number for c in chunks),
        Uuids(c.attempt_id for c in chunks),
        Texts(c.lines for c in chunks),
        Ints(c.line_count for c in chunks),
        Bools(c.is_last for c in chunks),
    )


def _shown(rendered: Sequence[Rendered]) -> tuple[Any, ...]:
    return (
        *_keys([each.attempt for each in rendered]),
        Jsonbs(None if each.fields is None else json.dumps(each.fields).encode() for each in rendered),
        Texts(each.label for each in rendered),
    )


async def xcom_values(
    conn: Connection, run_key: int, refs: Sequence[tuple[str, str]]
) -> list[tuple[str, str, int, bytes]]:
    """The values of (task id, key) references in a run: (task id, key, map index, encoded JSON), in one round trip."""
    found = await rows.all_rows(
        conn,
        "select * from leoflow_core.xcom_values(%s, %s, %s)",
        (run_key, [task for task, _ in refs], [key for _, key in refs]),
    )
    return [(row[0], row[1], row[2], bytes(row[3])) for row in found]


async def skip_downstream(conn: Connection, attempt: AttemptRef, tasks: Sequence[tuple[str, int]]) -> bool:
    """A running branch skips successors that have not started. False: the attempt lost its place.

    Args:
        conn: autocommit connection.
        attempt: the branch.
        tasks: task ids with map indexes; a negative one means every instance of the task.
    """
    done: bool = await rows.value(
        conn,
        "select leoflow_core.skip_downstream(%s, %s, %s, %s, %s, %s)",
        (
            attempt.run_key,
            attempt.task_idx,
            attempt.map_index,
            attempt.attempt_id,
            [task_id for task_id, _ in tasks],
            [map_index if map_index >= 0 else None for _, map_index in tasks],
        ),
    )
    return done


async def release(
    conn: Connection,
    worker_key: int,
    attempts: Sequence[AttemptRef],
    *,
    reason: str = "released by the worker",
    is_drain: bool = False,
) -> list[UUID]:
    """Give attempts back that this machine cannot run, without spending the user's retries; then `wake_workers`.

    Args:
        conn: autocommit connection.
        worker_key: from `register_worker`.
        attempts: which ones.
        reason: shown in the attempt history.
        is_drain: the worker stops on purpose: does not count against `max_infra_retries`.

    Returns:
        The ids that had lost their place anyway.
    """
    found = await rows.all_rows(
        conn,
        "select leoflow_core.release(%s, %s, %s, %s, %s, %s, %s)",
        (worker_key, *_keys(attempts), reason, is_drain),
    )
    return [row[0] for row in found]
