"""Children forked before they are needed, so that an attempt need not wait for the fork and its page copies.

A spare is a fork of its project zygote that has run a task which does nothing, so that the pages the Task SDK writes
to are its own already, and waits for the order that makes it an attempt. It serves one attempt, as any other child.
A zygote keeps one while its project is in use and cores are free for it.
"""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

from leoflow.runtime import attempt, control, processes, sdk_adapter

KEPT = 1
IDLE_SECONDS = 30.0
"""After so long without an attempt, none is kept."""


class Spares:
    """The idle children of one zygote.

    Args:
        sdk: the warmed Task SDK.
        leave_zygote: called in a new child first.
    """

    def __init__(self, sdk: sdk_adapter.Sdk, leave_zygote: Callable[[], None]) -> None:
        self._sdk = sdk
        self._leave_zygote = leave_zygote
        self._idle: dict[int, socket.socket] = {}
        self._needed_until = 0.0
        self._usable = True
        self._cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @property
    def pids(self) -> set[int]:
        """Process ids of the children that wait."""
        return set(self._idle)

    def give(self, order: dict[str, Any], descriptors: "list[int]") -> "int | None":
        """Make a spare the attempt of `order` and return its process id; None when there is none."""
        self._needed_until = time.monotonic() + IDLE_SECONDS
        while self._idle:
            pid, channel = self._idle.popitem()
            try:
                control.send(channel, order, tuple(descriptors))
                return pid
            except control.ControlClosedError:
                self._usable = False
            finally:
                channel.close()
        return None

    def pause(self) -> "float | None":
        """Return for how many milliseconds nothing is to be done here; None: until an attempt comes."""
        if not self._idle:
            return None
        return max(0.0, self._needed_until - time.monotonic()) * 1000 + 1

    def wanted(self, running: int) -> bool:
        """Tell whether another spare should be forked while `running` attempts run."""
        if not self._usable or len(self._idle) >= KEPT or running >= self._cores:
            return False
        return time.monotonic() < self._needed_until

    def add(self) -> None:
        """Fork a spare."""
        parent = os.getpid()
        ours, theirs = control.pair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            self._usable = False
            return
        if pid == 0:
            try:
                ours.close()
                self._leave_zygote()
                _wait(self._sdk, theirs, parent)
            finally:
                os._exit(127)
        theirs.close()
        self._idle[pid] = ours

    def retire(self) -> None:
        """Let the spares go once the project was not used for a while."""
        if time.monotonic() >= self._needed_until:
            self.leave()
            self._idle.clear()

    def bury(self, pid: int) -> None:
        """Note that a child has ended. A spare that ends unasked is the last one."""
        channel = self._idle.pop(pid, None)
        if channel is not None:
            channel.close()
            self._usable = False

    def leave(self) -> None:
        """Close the channels: in a fork of the zygote, which must not reach its siblings."""
        for channel in self._idle.values():
            channel.close()


def _wait(sdk: sdk_adapter.Sdk, channel: socket.socket, parent: int) -> NoReturn:
    processes.die_with_parent(parent)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    attempt.mute()
    with contextlib.suppress(BaseException):  # only a rehearsal: the attempt itself will say what is wrong
        sdk.rehearse()
    try:
        order, descriptors = control.receive(channel)
    except BaseException:  # not needed any more
        os._exit(0)
    channel.close()
    attempt.run(sdk, order, attempt.Descriptors(*descriptors), parent)
