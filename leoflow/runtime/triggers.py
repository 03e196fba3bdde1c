"""The process that runs triggers: a fork of an environment's zygote with one asyncio loop for all of them.

Its supervisor is a triggerer. Over their socket it is told which triggers to start and to cancel, says what came of
each, and asks what triggers ask. Log lines go to descriptor 3, each naming the trigger it belongs to.
"""

import asyncio
import contextlib
import datetime
import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import greenback
import msgspec
import structlog

from leoflow.runtime import printing, processes, sdk_adapter
from leoflow.runtime.plugins import use_plugins_of
from leoflow.runtime.trigger_comms import FIRED, STOPPED, TRIGGER_FIELD, UNKNOWN, TriggerComms, current_trigger
from leoflow.runtime.watchers import keep_watching

_HEADER = 4
_BLOCKED_SECONDS = 1.0
_BEAT_SECONDS = 0.1
_LONGEST_LINE = 4000
_TRIGGER_FAILURE = "Trigger failure"


def run(order: "dict[str, Any]", descriptors: "list[int]", parent: int) -> NoReturn:
    """Become a runner of triggers; returns never. Called in a fresh fork of an environment's zygote.

    Args:
        order: `bundle_path`, the project whose modules triggers may be imported from, or null.
        descriptors: the supervisor's socket and the pipe for log lines.
        parent: process id of the zygote.
    """
    code = 1
    try:
        channel = _separate(order, descriptors, parent)
        asyncio.run(_Runner(channel, has_project=order["bundle_path"] is not None).run())
        code = 0
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
            sys.stderr.flush()
    os._exit(code)


def _separate(order: "dict[str, Any]", descriptors: "list[int]", parent: int) -> socket.socket:
    processes.die_with_parent(parent)
    processes.adopt_orphans()
    os.setsid()
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(sig, signal.SIG_DFL)
    channel = socket.socket(fileno=os.dup(descriptors[0]))
    log = os.dup(descriptors[1])
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for target in (1, 2, sdk_adapter.LOG_DESCRIPTOR):
        os.dup2(log, target, inheritable=target != sdk_adapter.LOG_DESCRIPTOR)
    os.close(null)
    os.close(log)
    sdk_adapter.reopen_standard_streams()
    printing.log_what_is_printed(sdk_adapter.LOG_DESCRIPTOR)
    if order["bundle_path"] is not None:
        sys.dont_write_bytecode = True  # a snapshot of sources never changes
        sys.path.append(order["bundle_path"])
        use_plugins_of(Path(order["bundle_path"]))
        os.chdir(order["bundle_path"])
    return channel


class _Runner:
    """The loop's own work: commands in, firings out."""

    def __init__(self, channel: socket.socket, *, has_project: bool) -> None:
        self._channel = channel
        self._has_project = has_project
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._log = structlog.get_logger(logger_name="leoflow.triggers")
        self._comms: Any = None

    async def run(self) -> None:
        """Obey until the supervisor closes the socket."""
        from airflow.sdk.execution_time import task_runner

        reader, writer = await asyncio.open_connection(sock=self._channel, limit=2**20)
        self._comms = TriggerComms(writer.write)
        task_runner.SUPERVISOR_COMMS = self._comms
        _Watchdog(asyncio.get_running_loop(), self._key_of).start()
        decode = msgspec.msgpack.Decoder().decode
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
            while True:
                length = int.from_bytes(await reader.readexactly(_HEADER), "big")
                frame = decode(await reader.readexactly(length))
                if frame[0] == 0:
                    self._obey(frame[1])
                else:
                    self._comms.answered(frame)
        # The supervisor is gone: triggers get a moment to clean up, and go on elsewhere.
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=2)

    def _obey(self, command: "dict[str, Any]") -> None:
        for spec in command.get("start", ()):
            key = spec["key"]
            if key not in self._tasks:
                task = asyncio.get_running_loop().create_task(self._watch(spec), name=spec["name"])
                self._tasks[key] = task
        for key in command.get("cancel", ()):
            if key in self._tasks:
                self._tasks[key].cancel()
            else:
                self._comms.tell({"type": STOPPED, "key": key})

    async def _watch(self, spec: "dict[str, Any]") -> None:
        key = spec["key"]
        current_trigger.set(key)
        structlog.contextvars.bind_contextvars(**{TRIGGER_FIELD: key})
        try:
            if spec["is_watcher"]:
                await keep_watching(key, spec["name"], lambda: self._made(spec), self._comms)
                return
            trigger = self._made(spec)
            if trigger is not None:
                await self._follow(key, spec["name"], trigger)
        except asyncio.CancelledError:
            self._log.info("The trigger was cancelled: nothing waits for it here any more.")
            if spec["is_watcher"]:
                self._comms.tell({"type": STOPPED, "key": key})
        except BaseException as error:
            self._failed(key, "The trigger failed.", error)
        finally:
            self._tasks.pop(key, None)

    def _made(self, spec: "dict[str, Any]") -> Any:
        """Import the trigger's class and make it from its arguments. None: it may be in a project this one lacks."""
        from airflow.sdk.serde import deserialize

        module, _, name = spec["classpath"].rpartition(".")
        try:
            trigger_class = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if self._has_project or not (module + ".").startswith(f"{error.name}."):
                raise
            self._comms.tell({"type": UNKNOWN, "key": spec["key"]})
            return None
        trigger = trigger_class(**deserialize(spec["kwargs"]))
        trigger.trigger_id = spec["key"]
        trigger.task_instance = None if spec["ti"] is None else _task_instance(spec["ti"])
        trigger.timeout_after = None
        return trigger

    async def _follow(self, key: int, name: str, trigger: Any) -> None:
        await greenback.ensure_portal()
        self._log.info("Trigger starting", name=name)
        has_fired = False
        events = trigger.run()
        try:
            async for event in events:
                self._log.info("Trigger fired event", name=name, result=repr(event)[:_LONGEST_LINE])
                self._fired(key, event)
                has_fired = True
                break
        finally:
            with contextlib.suppress(Exception):
                await events.aclose()
            with contextlib.suppress(Exception):
                await trigger.cleanup()
        if not has_fired:
            self._failed(key, "The trigger ended without an event, so its task fails.", None)

    def _key_of(self, wanted: Any) -> "int | None":
        return next((key for key, task in list(self._tasks.items()) if task is wanted), None)

    def _fired(self, key: int, event: Any) -> None:
        from airflow.sdk.serde import serialize
        from airflow.triggers.base import BaseTaskEndEvent, TriggerEvent

        if not isinstance(event, TriggerEvent):
            raise TypeError(f"the trigger yielded a {type(event).__name__}, not a TriggerEvent")
        message: dict[str, Any] = {"type": FIRED, "key": key}
        if isinstance(event, BaseTaskEndEvent):
            state = str(getattr(event.task_instance_state, "value", event.task_instance_state))
            xcoms = {str(name): serialize(value) for name, value in (event.xcoms or {}).items()}
            message.update(outcome=state, xcoms=xcoms)
        else:
            message.update(outcome="event", payload=serialize(event.payload))
        self._comms.tell(message)

    def _failed(self, key: int, text: str, error: "BaseException | None") -> None:
        self._log.error(text, exc_info=error)
        lines = traceback.format_exception(type(error), error, error.__traceback__) if error is not None else None
        payload = {"error": _TRIGGER_FAILURE, "traceback": lines}
        self._comms.tell({"type": FIRED, "key": key, "outcome": "failed_trigger", "payload": payload})


def _task_instance(facts: "dict[str, Any]") -> Any:
    from airflow.sdk.api.datamodels._generated import TaskInstance

    return TaskInstance.model_validate(facts)


class _Watchdog(threading.Thread):
    """Finds triggers that block the loop, and with it every other trigger of this process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, key_of: "Callable[[Any], int | None]") -> None:
        super().__init__(name="leoflow trigger watchdog", daemon=True)
        self._loop = loop
        self._key_of = key_of
        self._thread = threading.get_ident()
        self._last = time.monotonic()
        self._tick()

    def _tick(self) -> None:
        self._last = time.monotonic()
        self._loop.call_later(_BEAT_SECONDS, self._tick)

    def run(self) -> None:
        """Look now and then; one line per time the loop is blocked, and one when it goes on."""
        blocked_since = 0.0
        while True:
            time.sleep(_BLOCKED_SECONDS / 4)
            last = self._last
            if last == blocked_since:
                continue
            if time.monotonic() - last > _BLOCKED_SECONDS + _BEAT_SECONDS:
                blocked_since = last
                self._report()

    def _report(self) -> None:
        task = asyncio.current_task(self._loop)
        frame = sys._current_frames().get(self._thread)
        stack = "".join(traceback.format_stack(frame)[-6:]) if frame is not None else ""
        name = task.get_name() if task is not None else "unknown"
        text = (
            f"The trigger {name} has blocked the event loop for more than {_BLOCKED_SECONDS:g} s, and every other "
            "trigger of this process with it. A trigger must await whatever takes time; it is here:\n"
        )
        line = {
            "timestamp": datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z"),
            "level": "warning",
            "event": text + stack[-1500:],
            "logger": "leoflow.triggers",
            "blocked": name,
            TRIGGER_FIELD: self._key_of(task),
        }
        with contextlib.suppress(OSError):
            os.write(sdk_adapter.LOG_DESCRIPTOR, json.dumps(line).encode() + b"\n")
