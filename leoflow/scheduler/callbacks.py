"""Carries out one requested callback: gathers its context, has the code called, and records how that went."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from psycopg.rows import dict_row, tuple_row
from psycopg.types.json import Jsonb

from leoflow.config import UserCodeSettings
from leoflow.db import Pool
from leoflow.db.queries import load
from leoflow.engine import ClaimedAttempt
from leoflow.execution.run_context import run_context
from leoflow.execution.usercode import Call, CallError, CallLimits, CodePlace, UserCode

SQL = load("callbacks")
KEPT_OUTPUT = 8_192
DEADLINES = 1_000
NAMES = {
    "dag_success": "on_success_callback",
    "dag_failure": "on_failure_callback",
    "task_failure": "on_failure_callback",
    "task_retry": "on_retry_callback",
    "deadline": "deadline",
}
RESULTS = {"time-limit": "timed_out", "output-limit": "killed", "died": "killed", "environment": "given_up"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """A row of `leoflow_core.outbox`."""

    outbox_key: int
    kind: str
    run_key: int
    task_idx: int | None
    map_index: int | None
    try_number: int | None
    payload: dict[str, Any]
    created_at: str

    @property
    def name(self) -> str:
        """The attribute it was defined as, or `deadline`."""
        return NAMES[self.kind]


@dataclass(frozen=True, slots=True)
class CallbackResult:
    """How a callback went. `result` as in `leoflow.callbacks.state`."""

    request: CallbackRequest
    result: str
    called: tuple[str, ...] = ()
    error: str | None = None
    output: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Run:
    dag_id: str
    run_id: str
    environment_key: str | None
    bundle_path: str | None
    relative_fileloc: str | None
    any_task_idx: int | None


@dataclass(frozen=True, slots=True)
class _Instance:
    claimed: ClaimedAttempt
    end_date: datetime | None


class Callbacks:
    """Carries out requests.

    Args:
        pool: the database.
        usercode: calls the projects' code.
        settings: the limits of a call.
    """

    def __init__(self, pool: Pool, usercode: UserCode, settings: UserCodeSettings) -> None:
        self._pool = pool
        self._usercode = usercode
        self._limits = CallLimits(settings.callback_seconds, settings.memory_bytes, settings.output_bytes)

    async def take(self, run_key: int) -> list[CallbackResult]:
        """Carry out what one run has asked for so far, for a process without background jobs; deadlines included."""
        async with self._pool.connection() as connection:
            await connection.execute(SQL["miss_deadlines"], (DEADLINES,))
            rows = await (await connection.execute(SQL["take_requests"], (run_key,))).fetchall()
        done = [await self.carry_out(CallbackRequest(**row[0]), is_last_try=True) for row in rows]
        return [result for result in done if result is not None]

    async def carry_out(self, request: CallbackRequest, *, is_last_try: bool) -> CallbackResult | None:
        """Make the call and record how it went; None when its run is gone. May happen twice after a crash.

        Raises:
            CallError: the environment or the machine failed, and this was not the last try.
        """
        run = await self._run(request.run_key)
        if run is None:
            return None
        instance = await self._instance(request, run)
        try:
            result = await self._call(request, run, instance)
        except CallError as error:
            if error.is_passing and not is_last_try:
                raise
            text = f"{error.what} ({error.where}). {error.hint}".strip()
            result = CallbackResult(request, RESULTS.get(error.rule, "failed"), (), text, error.output)
        await self._record(request, run, instance, result)
        return result

    async def _call(self, request: CallbackRequest, run: _Run, instance: _Instance | None) -> CallbackResult:
        answer = await self._usercode.call(
            Call(
                place=CodePlace(
                    run.dag_id, run.environment_key, run.bundle_path or "/nowhere", run.relative_fileloc or "dag.py"
                ),
                name=request.kind,
                arguments=await self._arguments(request, run, instance),
                limits=self._limits,
                attempt=instance.claimed if instance else None,
            )
        )
        failures = [f"{each['callback']}: {each['error']}" for each in answer.result["failures"]]
        return CallbackResult(
            request,
            "failed" if failures else "success",
            tuple(answer.result["called"]),
            "; ".join(failures) or None,
            answer.output,
            answer.seconds,
        )

    async def _arguments(self, request: CallbackRequest, run: _Run, instance: _Instance | None) -> Mapping[str, Any]:
        if request.kind == "deadline":
            payload = request.payload
            moment = {"id": payload["deadline_id"], "deadline_time": payload["deadline_time"]}
            dag_run = await self._dag_run(request.run_key)
            return {"alert_idx": payload["alert_idx"], "deadline": moment, "dag_run": dag_run}
        arguments: dict[str, Any] = {"run_id": run.run_id, "reason": request.payload["reason"]}
        if request.task_idx is not None and instance is not None:
            arguments |= _of_instance(request, instance)
        return arguments

    async def _run(self, run_key: int) -> _Run | None:
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(SQL["run_of_request"], (run_key,))
            row = await cursor.fetchone()
        return None if row is None else _Run(**row)

    async def _instance(self, request: CallbackRequest, run: _Run) -> _Instance | None:
        """The instance the request is about, else any of the run: connections are given in a task's name."""
        task_idx = run.any_task_idx if request.task_idx is None else request.task_idx
        if task_idx is None:
            return None
        arguments = {"run_key": request.run_key, "task_idx": task_idx, "map_index": request.map_index}
        if request.task_idx is None:
            arguments["map_index"] = -1
        async with self._pool.connection() as connection, connection.transaction():
            # a callback that was tried for long may find its run in history
            await connection.execute(SQL["restore_run"], (request.run_key,))
            async with connection.cursor(row_factory=tuple_row) as cursor:
                await cursor.execute(SQL["attempt_of_request"], arguments)
                row = await cursor.fetchone()
        return None if row is None else _Instance(ClaimedAttempt(*row[1:]), row[0])

    async def _dag_run(self, run_key: int) -> Any:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(SQL["dag_run_of_request"], (run_key,))).fetchone()
        return row and row[0]

    async def _record(
        self, request: CallbackRequest, run: _Run, instance: _Instance | None, result: CallbackResult
    ) -> None:
        about = instance.claimed if instance and request.task_idx is not None else None
        extra = {
            "callback": request.name,
            "reason": request.payload.get("reason"),
            "result": result.result,
            "called": list(result.called),
            "error": result.error,
            "seconds": result.seconds,
            "requested_at": request.created_at,
            "output": _last_lines(result.output),
        }
        arguments = {
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "task_id": about and about.task_id,
            "map_index": about and about.map_index,
            "try_number": request.try_number,
            "extra": Jsonb({name: value for name, value in extra.items() if value not in (None, [], "")}),
        }
        async with self._pool.connection() as connection:
            await connection.execute(SQL["record_callback"], arguments)
        tell = log.info if result.result == "success" else log.warning
        tell("callback", callback=request.name, dag_id=run.dag_id, run_id=run.run_id, result=result.result)


def _of_instance(request: CallbackRequest, instance: _Instance) -> dict[str, Any]:
    claimed = instance.claimed
    return {
        "ti": {
            "id": claimed.attempt_id or "00000000-0000-0000-0000-000000000000",
            "task_id": claimed.task_id,
            "dag_id": claimed.dag_id,
            "run_id": claimed.run_id,
            "try_number": request.try_number or claimed.try_number,
            "dag_version_id": claimed.dag_version_id,
            "map_index": claimed.map_index,
        },
        "ti_state": claimed.state,
        "ti_end_date": instance.end_date,
        "ti_context": run_context(claimed),
    }


def _last_lines(output: str) -> str:
    """The end of the output, without characters Postgres cannot store."""
    return output.replace("\x00", "").rstrip()[-KEPT_OUTPUT:]
