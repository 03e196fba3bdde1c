"""Answers what called user code asks the Task SDK for: connections, variables, XComs, runs."""

import asyncio
import socket

from leoflow.engine import ClaimedAttempt
from leoflow.execution.context import AttemptContext, Message, Store
from leoflow.execution.faults import FaultError, refused
from leoflow.execution.operations import OPERATIONS, perform
from leoflow.worker.frames import FrameChannel
from leoflow.worker.masking import Masker

FRAME_LIMIT = 16 << 20

ALLOWED = frozenset(OPERATIONS) - {
    "CreateHITLDetailPayload",
    "DeleteXCom",
    "GetTaskRescheduleStartDate",
    "SetXCom",
    "SkipDownstreamTasks",
    "UpdateHITLDetail",
    "ValidateInletsAndOutlets",
}
"""Not: what belongs to a running attempt, which a callback is not."""


class CallSupervisor:
    """Serves one socket until it is closed.

    Args:
        sock: our end of the socket; closed with the supervisor.
        attempt: the task instance in whose name the code asks; None refuses everything.
        store: the database; None refuses everything.
    """

    def __init__(self, sock: socket.socket, attempt: ClaimedAttempt | None, store: Store | None) -> None:
        self.masker = Masker()
        self._context = None if attempt is None else AttemptContext(attempt, self.masker)
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()
        self._channel = FrameChannel(
            sock,
            limit=FRAME_LIMIT,
            on_frame=self._on_frame,
            on_oversize=lambda request_id, _: self._channel.refuse(
                request_id, refused("the message is too large", 413)
            ),
            on_close=lambda _: None,
        )

    def close(self) -> None:
        """Stop serving."""
        for task in self._tasks:
            task.cancel()
        self._channel.close()

    def _on_frame(self, request_id: int, message: Message) -> None:
        if message.get("type") == "MaskSecret":
            self.masker.add(message.get("value"), message.get("name"))
            self._channel.answer(request_id, None)
            return
        task = asyncio.create_task(self._operate(request_id, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _operate(self, request_id: int, message: Message) -> None:
        kind = str(message.get("type"))
        store, context = self._store, self._context
        if store is None or context is None or kind not in ALLOWED:
            fault = refused(f"{kind} is not available to this code, which is not part of a task")
            self._channel.refuse(request_id, fault)
            return
        try:
            self._channel.answer(request_id, await perform(OPERATIONS[kind], store, context, message))
        except FaultError as fault:
            self._channel.refuse(request_id, fault)
