"""One attempt from launch to outcome: serves its socket, collects its log, enforces its limits."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from leoflow.config import WorkerSettings
from leoflow.db import retry_transient
from leoflow.engine import Rendered
from leoflow.execution import task_instances, xcoms
from leoflow.execution.assets import consumed_events
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError, refused
from leoflow.execution.operations import OF_TRIGGERS, OPERATIONS, Operation, perform
from leoflow.execution.outcomes import TERMINAL, Outcome, outcome_of, storable
from leoflow.runtime.sdk_adapter import REDUCE_INPUTS, XCOM_WINDOW
from leoflow.worker.endings import SUPERSEDED, explain, left_behind
from leoflow.worker.frames import FrameChannel
from leoflow.worker.launchers.base import AttemptProcess, Ended, Launcher, LaunchError, LaunchOrder
from leoflow.worker.launchers.environment_variables import secrets_in
from leoflow.worker.log_lines import LogLines
from leoflow.worker.masking import Masker
from leoflow.worker.output_pipes import OutputPipes
from leoflow.worker.startup import launch_order
from leoflow.worker.task_settings import TaskSettingsCache

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 1.0
_RENDERED_DELAY = 0.5


class Reporter(Protocol):
    """Where a session reports its outcome; resolves once the database knows it."""

    def report(self, session: "Session", outcome: Outcome) -> Awaitable[bool]:
        """Return True when the outcome was recorded, False when the attempt was no longer current."""

    async def give_back(self, session: "Session", reason: str) -> None:
        """Return an attempt to the queue without spending one of the user's retries."""


class Session:
    """Runs one claimed attempt.

    Args:
        attempt: the attempt's context.
        masker: hides secrets in its log.
        task_settings: what leoflow.yaml sets for its task.
        store: the database for its requests.
        settings: limits and time-outs.
        reporter: takes the outcome.
        emit: takes finished log lines.
        end_log: told when there are no more of them.
        render: takes rendered template fields.
    """

    def __init__(
        self,
        attempt: AttemptContext,
        masker: Masker,
        task_settings: TaskSettingsCache,
        store: Store,
        settings: WorkerSettings,
        reporter: Reporter,
        emit: Callable[[bytes], None],
        end_log: Callable[[], None],
        render: Callable[[Rendered | None], None],
    ) -> None:
        self.attempt = attempt
        self.reported = False
        self.is_recorded = False
        """True once its outcome was written, and what its slot can be used for was looked for."""
        self._task_settings = task_settings
        self._memory_limit: str | None = None
        self._store = store
        self._settings = settings
        self._reporter = reporter
        self._render = render
        self.lines = LogLines(emit, masker, settings.log_limit_bytes, end_log)
        self._loop = asyncio.get_running_loop()
        self._process: AttemptProcess | None = None
        self._channel: FrameChannel | None = None
        self._pipes = OutputPipes(self.lines)
        self._requests: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._stopping: str | None = None
        self._abandoned = False
        self._report: asyncio.Task[bool] | None = None

    @property
    def attempt_id(self) -> str:
        """The attempt's id as text."""
        return str(self.attempt.claimed.attempt_id)

    async def run(self, launcher: Launcher) -> None:
        """Launch the attempt and return when its process is gone and its outcome is recorded."""
        if self.attempt.claimed.has_reduce:
            self.attempt.prefetched = asyncio.ensure_future(xcoms.prefetch(self._store, self.attempt))
        try:
            process = await launcher.launch(await self._order())
        except LaunchError as error:
            await self._not_launched(error)
            return
        try:
            ended = await self._serve(process)
        finally:
            self._release()
        self._save_rendered_soon()
        await self._conclude(ended)

    def terminate(self, reason: str) -> None:
        """End the attempt's whole process group: TERM, then KILL after the grace period. Logged with `reason`."""
        if self._process is None or self._stopping is not None:
            return
        self._stopping = reason
        self.lines.note(reason)
        self._process.kill(signal.SIGTERM)
        self._later(self._settings.kill_grace_seconds, self.kill)

    def kill(self) -> None:
        """Kill the attempt's process group now."""
        if self._process is not None:
            self._process.kill(signal.SIGKILL)

    def abandon(self) -> None:
        """Kill the attempt and report nothing: it is not this worker's any more."""
        self._abandoned = True
        self.kill()

    async def give_up(self, reason: str) -> None:
        """Kill the attempt and report it as failed, after a fault of our own."""
        self.kill()
        self.lines.note(reason)
        self.lines.close()
        if not self._abandoned:
            await self._report_once(Outcome("failed", is_retryable=True, end_date=_now()))

    async def _order(self) -> LaunchOrder:
        access, version_key = self._store.access, self.attempt.claimed.version_key
        try:
            settings = await retry_transient(lambda: self._task_settings.of(self.attempt.claimed))
            asset_events = await retry_transient(self._asset_events)
            secrets: Mapping[str, str] = {}
            if not access.is_open:
                secrets = await retry_transient(
                    lambda: access.environment(self._store, version_key, secrets_in(os.environ))
                )
        except (psycopg.Error, PoolTimeout) as error:
            raise LaunchError(f"its settings could not be read ({error})", infrastructure=True) from error
        self._memory_limit = settings.memory
        if settings.reserved:
            names = ", ".join(settings.reserved)
            self.lines.note(f"leoflow.yaml sets {names}: reserved for Leoflow, not set.", level="warning")
        limit = self._settings.log_limit_bytes
        return launch_order(self.attempt.claimed, settings, secrets, asset_events, limit)

    async def _asset_events(self) -> list[dict[str, Any]]:
        claimed = self.attempt.claimed
        return await consumed_events(self._store, claimed.run_key, claimed.run_type)

    # -- serving ------------------------------------------------------------------------------------------

    async def _serve(self, process: AttemptProcess) -> Ended:
        self._process = process
        self._render(Rendered(self.attempt.claimed.ref, pid=process.pid))
        for remark in process.remarks:
            self.lines.note(remark, level="info")
        for stream, descriptor in process.output_fds.items():
            self._pipes.read(descriptor, stream)
        self._channel = FrameChannel(
            socket.socket(fileno=process.supervisor_fd),
            limit=self._settings.frame_limit_bytes,
            on_frame=self._on_frame,
            on_oversize=self._on_oversize,
            on_close=self._on_channel_closed,
        )
        claimed = self.attempt.claimed
        if process.ungreeted:
            self._channel.write(process.ungreeted)
        self._later(_RENDERED_DELAY, self._save_rendered_soon)
        if claimed.execution_timeout_seconds is not None:
            limit = claimed.execution_timeout_seconds
            # The task times itself out; this is for code that does not listen to signals.
            self._later(
                limit + self._settings.timeout_slack_seconds,
                lambda: self.terminate(f"The task exceeded its execution_timeout of {limit:g} s and is being ended."),
            )
        if self._abandoned:
            self.kill()
        ended = await process.wait()
        await self._drain()
        return ended

    async def _drain(self) -> None:
        """Read what is left in the pipes; nothing that still holds them open may delay the outcome."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._pipes.wait_closed()

    def _release(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._pipes.close()
        if self._channel is not None:
            self._channel.close()
        for request in self._requests:
            request.cancel()

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(seconds, callback))

    # -- requests -----------------------------------------------------------------------------------------

    def _on_frame(self, request_id: int, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind in TERMINAL:
            self._spawn(self._finish(request_id, message))
        elif kind == "ResendLoggingFD":
            self._send_log_pipe(request_id)
        elif kind == "MaskSecret":
            self.attempt.secrecy.add(message.get("value"), message.get("name"))
            self._answer(request_id, None)
        else:
            self._dispatch(request_id, str(kind), message)

    def _dispatch(self, request_id: int, kind: str, message: dict[str, Any]) -> None:
        """Answer at once what only needs this process's memory, the rest in a task of its own."""
        try:
            if kind == "SetRenderedFields":
                self._answer(request_id, task_instances.set_rendered_fields(self.attempt, message))
            elif kind == "SetRenderedMapIndex":
                self._answer(request_id, task_instances.set_rendered_map_index(self.attempt, message))
            elif kind == "SetXCom" and message["key"] == xcoms.RETURN_KEY and self._may_hold(message):
                self._answer(request_id, xcoms.hold_return_value(self._store, self.attempt, message))
            elif kind == REDUCE_INPUTS:
                self._spawn(self._answer_reduce_inputs(request_id, message.get("after")))
            elif kind == XCOM_WINDOW:
                self._spawn(self._operate(request_id, message, xcoms.get_window))
            elif kind in OPERATIONS and kind not in OF_TRIGGERS:
                self._spawn(self._operate(request_id, message, OPERATIONS[kind]))
            else:
                raise refused(f"Leoflow does not know the message {kind!r} of this Task SDK")
        except FaultError as fault:
            self._refuse(request_id, fault)
        except (KeyError, TypeError) as error:
            self._refuse(request_id, refused(f"malformed {kind} message: {error}"))

    def _may_hold(self, message: Message) -> bool:
        return self._report is None and self.attempt.is_own(message)

    async def _operate(self, request_id: int, message: Message, operation: Operation) -> None:
        try:
            self._answer(request_id, await perform(operation, self._store, self.attempt, message))
        except FaultError as fault:
            if fault.note is not None:
                self._pipes.read_what_is_there()
                self.lines.note(fault.note)
            self._refuse(request_id, fault)

    async def _answer_reduce_inputs(self, request_id: int, after: int | None) -> None:
        """Send the inputs, or the rest of them; none when they cannot be read, and the task asks one by one."""
        inputs = xcoms.ReduceInputs()
        try:
            if after is not None:
                inputs = await retry_transient(lambda: xcoms.prefetch(self._store, self.attempt, after))
            elif self.attempt.prefetched is not None:
                inputs = await asyncio.shield(self.attempt.prefetched)
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("reduce inputs not read", attempt_id=self.attempt_id, error=str(error))
        # Whoever has been sent them does not ask again, and these may be many megabytes.
        self.attempt.prefetched = None
        self._answer(request_id, {"type": REDUCE_INPUTS, **dataclasses.asdict(inputs)})

    async def _finish(self, request_id: int, message: Message) -> None:
        if self._report is not None:
            self._refuse(request_id, refused("the attempt has already reported how it ended", 409))
            return
        try:
            outcome = outcome_of(self.attempt, message)
        except (KeyError, TypeError) as error:
            self._refuse(request_id, refused(f"malformed {message.get('type')} message: {error}"))
            return
        self._pipes.read_what_is_there()
        if outcome.state == "failed" and self.lines.ran_out_of_memory:
            self._explain_memory_limit()
        outcome, problem = storable(outcome)
        if problem is not None:
            self.lines.note(problem)
        self._later(self._settings.overtime_seconds, self._end_overtime)
        if await asyncio.shield(self._report_once(outcome)):
            self._answer(request_id, None)
        else:
            self.lines.note(SUPERSEDED, level="warning")
            self._refuse(request_id, refused("the attempt is no longer current; its outcome is not recorded", 409))

    def _explain_memory_limit(self) -> None:
        if self._memory_limit is not None:
            self.lines.note(
                f"The task reached its memory limit of {self._memory_limit} (resources.limits.memory in leoflow.yaml)."
            )

    def _report_once(self, outcome: Outcome) -> "asyncio.Task[bool]":
        if self._report is None:
            self._report = asyncio.ensure_future(self._reporter.report(self, outcome))
            self.reported = True
        return self._report

    def _end_overtime(self) -> None:
        seconds = self._settings.overtime_seconds
        self.terminate(f"The task reported its end but its process still runs after {seconds:g} s; it is being ended.")

    def _send_log_pipe(self, request_id: int) -> None:
        """Give the attempt (or a process it started) a new pipe for structured log lines."""
        read, write = os.pipe()
        self._pipes.read(read, "log")
        if self._channel is not None:
            self._channel.send([request_id, {"type": "SentFDs", "fds": [write]}], write)

    def _answer(self, request_id: int, body: Reply) -> None:
        if self._channel is not None:
            self._channel.answer(request_id, body)

    def _refuse(self, request_id: int, fault: FaultError) -> None:
        if self._channel is not None:
            self._channel.refuse(request_id, fault)

    def _on_oversize(self, request_id: int, length: int) -> None:
        limit = self._settings.frame_limit_bytes
        text = f"the message has {length:,} bytes and the limit is {limit:,}"
        self._refuse(request_id, refused(f"{text}; write large data to a file or object store", 413))

    def _on_channel_closed(self, problem: str | None) -> None:
        if problem is not None:
            self.terminate(f"The connection to the task is broken: {problem}.")

    def _spawn(self, work: "Any") -> None:
        task = asyncio.ensure_future(work)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    def _save_rendered_soon(self) -> None:
        """Have the rendered fields written that the attempt has sent so far."""
        self._render(task_instances.take_rendered(self.attempt))

    # -- the end ------------------------------------------------------------------------------------------

    async def _not_launched(self, error: LaunchError) -> None:
        self.lines.note(f"The task could not be started: {error.reason}")
        self.lines.close()
        if error.infrastructure and not self._abandoned:
            await self._give_back(error.reason)
        elif not self._abandoned:
            await self._report_once(Outcome("failed", is_retryable=True, end_date=_now()))

    async def _give_back(self, reason: str) -> None:
        """Return an attempt to the queue that this machine could not run, without spending a retry."""
        self.reported = True
        try:
            await self._reporter.give_back(self, reason)
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("attempt not returned to the queue", attempt_id=self.attempt_id, error=str(error))

    async def _conclude(self, ended: Ended) -> None:
        if ended.left_behind:
            self.lines.note(left_behind(ended.left_behind), level="warning")
        if self._report is None and not self._abandoned:
            if ended.lost:
                self.lines.note("The fork server that ran this task died, and the task with it.")
                self.lines.close()
                await self._give_back("its fork server died")
                return
            outcome, words = explain(ended, self.attempt, stopped=self._stopping is not None)
            for level, text in words:
                self.lines.note(text, level=level)
            if outcome.state == "failed" and self._memory_limit is not None and self._stopping is None:
                limit = (
                    f"The task had a memory limit of {self._memory_limit} (resources.limits.memory in leoflow.yaml)."
                )
                self.lines.note(limit, level="info")
            self.lines.close()
            await self._report_once(outcome)
            return
        self.lines.close()
        if self._report is not None:
            await self._report


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
