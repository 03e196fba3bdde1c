"""Processes that run several attempts one after the other, for tasks that ask for it (`attempts_per_process`).

A small task costs its process more than itself. Such a process goes back to its zygote after an attempt that left
nothing behind (see `leoflow.runtime.traces`) and ends after any other. Modules, caches and module-level variables of
the project stay as the attempts before left them: that is what a task gives up.
"""

import contextlib
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from leoflow.runtime import attempt, control, processes, sdk_adapter
from leoflow.runtime.traces import Traces

IDLE_SECONDS = 30.0
"""After so long without an attempt, none is kept."""

PATIENCE_SECONDS = 0.02
"""So long an order waits for a child that is at work: the successor of an attempt comes while that one's process still
puts its things away, and a second process would then be made for every chain of tasks."""


class Reusables:
    """The reusable children of one zygote.

    Args:
        sdk: the warmed Task SDK.
        poller: told of the children's channels.
        leave_zygote: called in a new child first.
    """

    def __init__(self, sdk: sdk_adapter.Sdk, poller: "select.poll", leave_zygote: Callable[[], None]) -> None:
        self._sdk = sdk
        self._poller = poller
        self._leave_zygote = leave_zygote
        self._channels: dict[int, socket.socket] = {}
        self._idle: list[int] = []
        self._waiting: deque[tuple[float, dict[str, Any], list[int]]] = deque()
        self._needed_until = 0.0

    @property
    def pids(self) -> "set[int]":
        """Process ids of all children, at work or not."""
        return set(self._channels)

    def take(self, order: "dict[str, Any]", descriptors: "list[int]") -> None:
        """Take an order with its descriptors, until `next_order` returns it. The caller must not close them."""
        now = time.monotonic()
        self._needed_until = now + IDLE_SECONDS
        self._waiting.append((now + PATIENCE_SECONDS, order, descriptors))

    def next_order(self) -> "tuple[dict[str, Any], list[int]] | None":
        """Return an order that need not wait any more: a child is idle, none is at work, or it has waited enough."""
        if not self._waiting:
            return None
        until, order, descriptors = self._waiting[0]
        if not self._idle and self._channels and time.monotonic() < until:
            return None
        self._waiting.popleft()
        return order, descriptors

    def give(self, order: "dict[str, Any]", descriptors: "list[int]") -> int:
        """Have a child run the attempt of `order` and return its process id.

        Raises:
            OSError: none is idle and the machine cannot fork.
        """
        while True:
            pid = self._idle.pop() if self._idle else self._fork(descriptors)
            try:
                control.send(self._channels[pid], order, tuple(descriptors))
                return pid
            except control.ControlClosedError:  # it died while it waited; its end is reported by SIGCHLD
                continue

    def done(self, descriptor: int) -> "tuple[int, int] | None":
        """Return process id and exit code of the child whose attempt is over, when that is what a channel says."""
        for pid, channel in self._channels.items():
            if channel.fileno() == descriptor:
                try:
                    code = int(control.receive(channel)[0]["code"])
                except BlockingIOError:  # the event was for an earlier channel of the same number
                    return None
                except (control.ControlClosedError, KeyError, ValueError, TypeError):
                    self._poller.unregister(channel)  # it has ended, or nearly so
                    return None
                self._idle.append(pid)
                return pid, code
        return None

    def pause(self) -> "float | None":
        """Return for how many milliseconds nothing is to be done here; None: until something happens."""
        if self._waiting:
            return max(0.0, self._waiting[0][0] - time.monotonic()) * 1000 + 1
        if not self._idle:
            return None
        return max(0.0, self._needed_until - time.monotonic()) * 1000 + 1

    def retire(self) -> None:
        """Let the idle ones go once none was used for a while."""
        if time.monotonic() >= self._needed_until:
            for pid in self._idle:
                self._channels[pid].shutdown(socket.SHUT_RDWR)
            self._idle.clear()

    def bury(self, pid: int) -> None:
        """Note that a child has ended."""
        channel = self._channels.pop(pid, None)
        if pid in self._idle:
            self._idle.remove(pid)
        if channel is not None:
            with contextlib.suppress(KeyError):
                self._poller.unregister(channel)
            channel.close()

    def leave(self) -> None:
        """Close the channels: in a fork of the zygote, which must not reach its siblings."""
        for channel in self._channels.values():
            channel.close()
        for _, _, descriptors in self._waiting:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, descriptors: "list[int]") -> int:
        parent = os.getpid()
        ours, theirs = control.pair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            try:
                ours.close()
                for descriptor in descriptors:  # it gets them with its order, and only for that one
                    os.close(descriptor)
                self._leave_zygote()
                _serve(self._sdk, theirs, parent)
            finally:
                os._exit(127)
        theirs.close()
        ours.setblocking(False)
        self._channels[pid] = ours
        self._poller.register(ours, select.POLLIN)
        return pid


def _serve(sdk: sdk_adapter.Sdk, channel: socket.socket, parent: int) -> NoReturn:
    """Run attempts until one leaves traces, enough have run, or none is wanted."""
    attempt.detach(parent)
    attempt.mute()
    served = 0
    traces = Traces()
    while True:
        try:
            order, descriptors = control.receive(channel)
        except BaseException:  # not needed any more
            os._exit(0)
        code = attempt.run_here(sdk, order, attempt.Descriptors(*descriptors))
        served += 1
        sdk.forget_attempt()
        attempt.mute()
        if code or served >= order["attempts_per_process"] or traces.left_by(order):
            os._exit(code)
        traces.wipe(order)
        control.send(channel, {"code": code})


def wants_reuse(order: "dict[str, Any]") -> bool:
    """Tell whether an attempt may share its process with others."""
    # A memory limit cannot be taken back.
    return int(order.get("attempts_per_process") or 1) > 1 and not order.get("memory_bytes") and processes.is_linux()
