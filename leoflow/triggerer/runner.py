"""A triggerer's end of one child process that runs triggers: commands out, firings, requests and log lines in."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Protocol

import orjson
import structlog

from leoflow.engine import Firing
from leoflow.execution import values
from leoflow.execution.context import Message, Reply, Store
from leoflow.execution.faults import FaultError, refused
from leoflow.execution.operations import OF_WATCHERS, OPERATIONS, perform
from leoflow.triggerer.waiting import RunnerKey, Waiting
from leoflow.worker.frames import FrameChannel
from leoflow.worker.launchers.fork_client import ZygoteClient

log = structlog.get_logger(__name__)

FIRED = "LeoflowTriggerFired"
UNKNOWN = "LeoflowTriggerUnknown"
OBSERVED = "LeoflowWatcherEvent"
STOPPED = "LeoflowWatcherStopped"
TRIGGER_FIELD = "leoflow_trigger"

_READ_SIZE = 256 * 1024
_START_BATCH = 200
_OUTCOMES = frozenset({"event", "failed_trigger", "success", "failed", "skipped"})

Fork = Callable[[str | None, str | None], Awaitable[tuple[ZygoteClient, str, socket.socket, int]]]
"""Forks a runner in an environment, with a project's modules or without."""


class Supervisor(Protocol):
    """What a runner tells its triggerer."""

    def fired(self, firing: Firing) -> None:
        """A trigger said what came of it."""

    def unknown(self, key: int) -> None:
        """A trigger's class may be in a project this runner does not know."""

    async def observed(self, waiting: Waiting, payload: Any) -> None:
        """A watcher's trigger saw something; returns once that is recorded, raises ValueError if it cannot be."""

    def stopped(self, key: int) -> None:
        """A watcher's trigger that was to stop did."""


class Runner:
    """One child process.

    Args:
        key: its environment and project.
        fork: starts the process.
        store: the database for requests of triggers.
        waiting: all triggers of the triggerer, by key.
        supervisor: takes what comes of them.
        frame_limit: bytes one message may have.
    """

    def __init__(
        self,
        key: RunnerKey,
        fork: Fork,
        store: Store,
        waiting: Mapping[int, Waiting],
        supervisor: Supervisor,
        frame_limit: int,
    ) -> None:
        self.key = key
        self._fork = fork
        self._store = store
        self._waiting = waiting
        self._supervisor = supervisor
        self._frame_limit = frame_limit
        self._loop = asyncio.get_running_loop()
        self._channel: FrameChannel | None = None
        self._kill: Callable[[], None] | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self._line = b""

    async def run(self, triggers: Callable[[], Iterable[Waiting]]) -> None:
        """Start the process with its triggers and return when it ended.

        Raises:
            LaunchError: it cannot be started.
        """
        client, order_id, ours, log_fd = await self._fork(*self.key)
        self._kill = lambda: client.kill(order_id, signal.SIGKILL)
        os.set_blocking(log_fd, False)
        self._loop.add_reader(log_fd, self._read_log, log_fd)
        self._channel = FrameChannel(
            ours,
            limit=self._frame_limit,
            on_frame=self._on_frame,
            on_oversize=self._on_oversize,
            on_close=self._on_closed,
        )
        try:
            self.start(triggers())
            ended = await client.wait(order_id)
            log.warning("a process that runs triggers ended", runner=self.key, status=ended.status)
        finally:
            self.kill()
            client.forget(order_id)
            self._channel.close()
            self._read_log(log_fd)
            self._loop.remove_reader(log_fd)
            os.close(log_fd)
            for request in self._requests:
                request.cancel()

    def start(self, triggers: Iterable[Waiting]) -> None:
        """Have triggers started; those of a process that is not up yet are started with it."""
        if self._channel is None or self._channel.closed:
            return
        orders = [waiting.order() for waiting in triggers]
        for first in range(0, len(orders), _START_BATCH):
            self._channel.send([0, {"start": orders[first : first + _START_BATCH]}])

    def cancel(self, keys: list[int]) -> bool:
        """Have triggers cancelled; False when no process runs them."""
        if self._channel is None or self._channel.closed:
            return False
        if keys:
            self._channel.send([0, {"cancel": keys}])
        return True

    def kill(self) -> None:
        """Kill the process now."""
        if self._kill is not None:
            self._kill()

    # -- messages -----------------------------------------------------------------------------------------

    def _on_frame(self, request_id: int, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == FIRED:
            self._on_fired(message)
        elif kind == UNKNOWN and isinstance(message.get("key"), int):
            self._supervisor.unknown(message["key"])
        elif kind == STOPPED and isinstance(message.get("key"), int):
            self._supervisor.stopped(message["key"])
        elif kind == OBSERVED:
            self._spawn(self._observe(request_id, message))
        else:
            self._spawn(self._operate(request_id, str(kind), message))

    def _spawn(self, answering: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(answering)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _observe(self, request_id: int, message: dict[str, Any]) -> None:
        waiting = self._waiting.get(message.get("key", 0))
        if waiting is None or not waiting.trigger.is_watcher:
            self._refuse(request_id, refused("nothing watches with this trigger"))
            return
        try:
            payload = message.get("payload")
            values.encode(payload, self._store.limits.xcom_bytes)
            await self._supervisor.observed(waiting, payload)
        except ValueError as error:
            self._refuse(request_id, refused(f"the trigger's event cannot be kept: {error}"))
        else:
            if self._channel is not None:
                self._channel.answer(request_id, None)

    def _on_fired(self, message: Message) -> None:
        waiting = self._waiting.get(message.get("key", 0))
        outcomes = _OUTCOMES if waiting is None or not waiting.trigger.is_watcher else {"failed_trigger"}
        if waiting is None or waiting.runner != self.key or message.get("outcome") not in outcomes:
            return
        try:
            xcoms = message.get("xcoms") or {}
            limit = self._store.limits.xcom_bytes
            encoded = tuple((str(key), values.encode(value, limit)) for key, value in xcoms.items())
            payload = message.get("payload")
            values.encode(payload, limit)
            firing = Firing(waiting.trigger.key, str(message["outcome"]), payload, encoded)
        except (ValueError, AttributeError) as error:
            firing = failure(waiting.trigger.key, f"the trigger's event cannot be kept: {error}")
        self._supervisor.fired(firing)

    async def _operate(self, request_id: int, kind: str, message: dict[str, Any]) -> None:
        try:
            reply = await self._reply(kind, message)
        except FaultError as fault:
            self._refuse(request_id, fault)
        else:
            if self._channel is not None:
                self._channel.answer(request_id, reply)

    async def _reply(self, kind: str, message: dict[str, Any]) -> Reply:
        waiting = self._waiting.get(message.pop(TRIGGER_FIELD, None) or 0)
        if waiting is None:
            raise refused(f"{kind} was asked outside of a waiting trigger", 403)
        if kind == "MaskSecret":
            waiting.context.secrecy.add(message.get("value"), message.get("name"))
            return None
        if kind not in (OF_WATCHERS if waiting.trigger.is_watcher else OPERATIONS):
            raise refused(f"a trigger cannot ask {kind!r}")
        return await perform(OPERATIONS[kind], self._store, waiting.context, message)

    def _refuse(self, request_id: int, fault: FaultError) -> None:
        if self._channel is not None:
            self._channel.refuse(request_id, fault)

    def _on_oversize(self, request_id: int, length: int) -> None:
        self._refuse(request_id, refused(f"the message has {length:,} bytes; the limit is {self._frame_limit:,}", 413))

    def _on_closed(self, problem: str | None) -> None:
        if problem is not None:
            log.warning("the connection to a process that runs triggers is broken", runner=self.key, problem=problem)
        self.kill()

    # -- log lines ----------------------------------------------------------------------------------------

    def _read_log(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError):
            while data := os.read(descriptor, _READ_SIZE):
                *lines, self._line = (self._line + data).split(b"\n")
                for line in lines:
                    self._log_line(line)
                self._line = self._line[-_READ_SIZE:]
            self._loop.remove_reader(descriptor)

    def _log_line(self, line: bytes) -> None:
        """Write a line into the log of the task whose trigger wrote it; what names none goes into ours."""
        try:
            event = orjson.loads(line)
            key = event.pop(TRIGGER_FIELD, None)
        except (orjson.JSONDecodeError, AttributeError):
            if line.strip():
                log.info("output of triggers", runner=self.key, line=line.decode(errors="replace")[:2000])
            return
        if "blocked" in event:
            log.warning("a trigger blocks the event loop", trigger=event.pop("blocked"), runner=self.key)
        waiting = self._waiting.get(key) if isinstance(key, int) else None
        if waiting is None:
            log.info("output of triggers", runner=self.key, line=str(event.get("event"))[:2000])
            return
        if "exception" in event:  # the SDK's supervisor renames it likewise
            event["error_detail"] = event.pop("exception")
        waiting.emit(waiting.masker.mask(orjson.dumps(event)))


def failure(key: int, reason: str) -> Firing:
    """Return the firing that makes the task of a trigger fail, with the reason in its log."""
    return Firing(key, "failed_trigger", {"error": "Trigger failure", "traceback": [f"{reason}\n"]})
