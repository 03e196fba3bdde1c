"""How triggers ask their supervisor: the Task SDK's messages over one socket, many requests under way at once.

Like `sdk_adapter`, this depends on private names of the Task SDK 1.2. Every request names the trigger that asks, so
that the supervisor answers with what that trigger's task may have.
"""

import asyncio
import contextvars
import itertools
import threading
from collections.abc import Callable
from typing import Any

import greenback

current_trigger: "contextvars.ContextVar[int | None]" = contextvars.ContextVar("leoflow_trigger", default=None)
"""The key of the trigger whose code runs."""

TRIGGER_FIELD = "leoflow_trigger"
"""Names the trigger in requests and in log lines."""

FIRED = "LeoflowTriggerFired"
UNKNOWN = "LeoflowTriggerUnknown"
OBSERVED = "LeoflowWatcherEvent"
STOPPED = "LeoflowWatcherStopped"


class TriggerComms:
    """What the SDK calls `SUPERVISOR_COMMS` while triggers run. Created in the loop's thread.

    Args:
        write: sends bytes to the supervisor; called in the loop's thread only.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        from airflow.sdk.api.datamodels._generated import HITLDetailResponse
        from airflow.sdk.exceptions import AirflowRuntimeError
        from airflow.sdk.execution_time import comms
        from pydantic import TypeAdapter

        self._frame: Any = comms._RequestFrame
        self._answers: Any = TypeAdapter(comms.ToTask)
        self._errors: Any = comms.ErrorResponse
        self._failure: Any = AirflowRuntimeError
        self._human_answer: Any = HITLDetailResponse
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    def send(self, msg: Any) -> Any:
        """Ask and wait: from a thread, or from a trigger's own coroutine through its greenback portal."""
        if threading.get_ident() != self._thread:
            return asyncio.run_coroutine_threadsafe(self._ask(msg, current_trigger.get()), self._loop).result()
        if not greenback.has_portal():
            raise RuntimeError("this call must be awaited in a trigger: use the SDK's asynchronous variant")
        return greenback.await_(self._ask(msg, current_trigger.get()))

    async def asend(self, msg: Any) -> Any:
        """Ask and await the answer."""
        asking = current_trigger.get()
        if asyncio.get_running_loop() is self._loop:
            return await self._ask(msg, asking)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._ask(msg, asking), self._loop))

    def tell(self, body: "dict[str, Any]") -> None:
        """Send a message of our own that needs no answer.

        Raises:
            TypeError: it holds something that is no plain data.
        """
        self._write(bytes(self._frame(id=0, body=body).as_bytes()))

    async def ask(self, body: "dict[str, Any]") -> None:
        """Send a message of our own and wait until it is done.

        Raises:
            AirflowRuntimeError: it was refused.
            TypeError: it holds something that is no plain data.
        """
        await self._exchange(body)

    def answered(self, frame: "list[Any]") -> None:
        """Take the answer `[id, body]` or `[id, None, error]`."""
        waiting = self._waiting.pop(frame[0], None)
        if waiting is None or waiting.done():
            return
        try:
            waiting.set_result(self._decoded(frame))
        except Exception as error:
            waiting.set_exception(error)

    async def _ask(self, msg: Any, asking: "int | None") -> Any:
        return await self._exchange({**msg.model_dump(), TRIGGER_FIELD: asking})

    async def _exchange(self, body: "dict[str, Any]") -> Any:
        request_id = next(self._ids)
        answer = self._waiting[request_id] = self._loop.create_future()
        try:
            self._write(bytes(self._frame(id=request_id, body=body).as_bytes()))
            return await answer
        finally:
            self._waiting.pop(request_id, None)

    def _decoded(self, frame: "list[Any]") -> Any:
        error = frame[2] if len(frame) > 2 else None
        if error is not None:
            raise self._failure(error=self._errors.model_validate(error))
        body = frame[1]
        if body is None:
            return None
        if body.get("type") == "HITLDetailResponseResult":
            return self._human_answer.model_validate({name: value for name, value in body.items() if name != "type"})
        return self._answers.validate_python(body)
