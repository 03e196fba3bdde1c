"""The fork server of one project environment.

Usage: `bootstrap.py zygote <control descriptor>`, started by a worker. The environment zygote imports and warms
the Task SDK once; on request it forks a project zygote (a DAG file loaded once, one process per project version),
a loader (compiles a DAG file and exits) or an attempt in an interpreter of its own. A project zygote runs the same
loop on a control channel of its own and forks attempts only.

When the control channel closes, the worker is gone: everything below is killed and the zygote exits.
"""

import contextlib
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from leoflow.runtime import attempt, control, hazards, processes, sdk_adapter
from leoflow.runtime.reuse import Reusables, wants_reuse
from leoflow.runtime.spares import Spares

_LOADING = (
    "leoflow.runtime.loading.loader",
    "leoflow.runtime.loading.checks",
    "leoflow.runtime.loading.describe_dag",
)
"""Imported before the first fork, for loaders."""


class Zygote:
    """Serves one control channel: forks on request, reports starts and exits, kills on request.

    Args:
        channel: our end of it.
        sdk: the warmed Task SDK.
        keeps_spares: fork attempts before they are ordered; only where a project is loaded.
    """

    def __init__(self, channel: socket.socket, sdk: sdk_adapter.Sdk, *, keeps_spares: bool = False) -> None:
        self._channel = channel
        self._sdk = sdk
        self._orders: dict[int, str] = {}
        self._spares = Spares(sdk, self._leave_zygote)
        self._poller = select.poll()
        self._reusables = Reusables(sdk, self._poller, self._leave_zygote)
        self._keeps_spares = keeps_spares
        self._strangers_allowed: set[int] = set()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def serve(self, hello: dict[str, Any]) -> NoReturn:
        """Answer requests until the worker closes the channel, then kill what was forked and exit."""
        self._strangers_allowed = set(processes.children())
        processes.adopt_orphans()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._poller.register(self._channel, select.POLLIN)
        self._poller.register(self._wake_read, select.POLLIN)
        with contextlib.suppress(control.ControlClosedError):
            control.send(self._channel, hello)
            while True:
                self._wait()
        self._kill_all()
        os._exit(0)

    def _wait(self) -> None:
        """Do what is to be done, sleeping until something is; prepare spares only when nothing else is."""
        wants_spare = self._keeps_spares and self._spares.wanted(len(self._orders))
        pauses = [pause for pause in (self._spares.pause(), self._reusables.pause()) if pause is not None]
        events = self._poller.poll(0 if wants_spare else min(pauses, default=None))
        for descriptor, _ in events:
            if descriptor == self._wake_read:
                self._reap()
            elif descriptor == self._channel.fileno():
                self._obey()
            else:
                self._come_back(descriptor)
        self._reuse()
        if not events and wants_spare:
            self._spares.add()
        elif not events:
            self._spares.retire()
            self._reusables.retire()

    # -- requests -----------------------------------------------------------------------------------------

    def _obey(self) -> None:
        order, descriptors = control.receive(self._channel)
        try:
            if order["op"] == "attempt" and self._keeps_spares and wants_reuse(order):
                self._reusables.take(order, descriptors)
                descriptors = []  # they are its own now
            elif order["op"] == "attempt":
                pid = self._spares.give(order, descriptors)
                if pid is None:
                    self._fork(order, descriptors, self._attempt)
                else:
                    self._started(pid, order)
            elif order["op"] == "spawn":
                self._fork(order, descriptors, self._spawn)
            elif order["op"] == "project":
                self._fork(order, descriptors, self._project)
            elif order["op"] == "load":
                self._fork(order, descriptors, self._loader)
            elif order["op"] == "call":
                self._fork(order, descriptors, self._call)
            elif order["op"] == "triggers":
                self._fork(order, descriptors, self._triggers)
            elif order["op"] == "kill":
                self._kill(order["id"], order["signal"])
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _reuse(self) -> None:
        """Give the orders that need not wait any more to reusable children."""
        while (waiting := self._reusables.next_order()) is not None:
            order, descriptors = waiting
            try:
                self._started(self._reusables.give(order, descriptors), order)
            except OSError as error:
                self._refuse(order, error)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _come_back(self, descriptor: int) -> None:
        """A reusable child says that its attempt is over."""
        done = self._reusables.done(descriptor)
        order_id = self._orders.pop(done[0], None) if done is not None else None
        if done is not None and order_id is not None:
            control.send(self._channel, {"event": "exited", "id": order_id, "status": done[1]})

    def _refuse(self, order: dict[str, Any], error: OSError) -> None:
        control.send(self._channel, {"event": "refused", "id": order["id"], "reason": str(error)})

    def _fork(
        self, order: dict[str, Any], descriptors: list[int], child: Callable[[dict[str, Any], list[int], int], NoReturn]
    ) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._refuse(order, error)
            return
        if pid == 0:
            try:
                self._leave_zygote()
                child(order, descriptors, parent)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(127)
        self._started(pid, order)

    def _started(self, pid: int, order: dict[str, Any]) -> None:
        self._orders[pid] = order["id"]
        control.send(self._channel, {"event": "started", "id": order["id"], "pid": pid})

    def _leave_zygote(self) -> None:
        signal.set_wakeup_fd(-1)
        self._spares.leave()
        self._reusables.leave()
        self._channel.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # -- what a fork becomes ------------------------------------------------------------------------------

    def _attempt(self, order: dict[str, Any], descriptors: list[int], parent: int) -> NoReturn:
        attempt.run(self._sdk, order, attempt.Descriptors(*descriptors), parent)

    def _spawn(self, order: dict[str, Any], descriptors: list[int], parent: int) -> NoReturn:
        attempt.spawn(order, attempt.Descriptors(*descriptors), parent)

    def _project(self, order: dict[str, Any], descriptors: list[int], parent: int) -> NoReturn:
        processes.die_with_parent(parent)
        os.setsid()
        channel = socket.socket(fileno=descriptors[0])
        _redirect_output(descriptors[1])
        threads = processes.thread_count()
        os.chdir(order["bundle_path"])
        started = time.monotonic()
        try:
            self._sdk.load(order["bundle_path"], order["relative_path"])
        except BaseException as error:
            reason = str(error) if isinstance(error, RuntimeError) else traceback.format_exc()
            with contextlib.suppress(control.ControlClosedError):
                control.send(channel, {"event": "unloadable", "reason": reason[-32_000:]})
            os._exit(1)
        hello = {
            "event": "ready",
            "hazards": hazards.fork_hazards(threads),
            "seconds": round(time.monotonic() - started, 4),
        }
        sdk_adapter.settle()
        Zygote(channel, self._sdk, keeps_spares=True).serve(hello)

    def _triggers(self, order: dict[str, Any], descriptors: list[int], parent: int) -> NoReturn:
        importlib.import_module("leoflow.runtime.triggers").run(order, descriptors, parent)
        os._exit(1)

    def _loader(self, order: dict[str, Any], descriptors: list[int], parent: int) -> NoReturn:
        result, output = descriptors
        processes.die_with_parent(parent)
        processes.adopt_orphans()
        os.setsid()
        _redirect_output(output)
        memory = order.get("memory_bytes")
        if memory:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        loading = importlib.import_module("leoflow.runtime.loading")
        document = json.dumps(loading.load(order["request"])).encode()
        with os.fdopen(result, "wb") as stream:
            stream.write(document)
        os._exit(0)

    def _call(self, order: dict[str, Any], descriptors: list[int], parent: int) -> NoReturn:
        """Call a piece of a project's code; the request comes through a descriptor, for it may be large."""
        request, result, output, supervisor = descriptors
        processes.die_with_parent(parent)
        processes.adopt_orphans()
        os.setsid()
        _redirect_output(output)
        os.dup2(supervisor, 0)
        os.close(supervisor)
        sdk_adapter.reopen_standard_streams()
        resource.setrlimit(resource.RLIMIT_DATA, (order["memory_bytes"], order["memory_bytes"]))
        os.environ["TMPDIR"] = order["tmp"]
        hazards.renew_random_generators()
        self._sdk.connect_supervisor()
        with os.fdopen(request, "rb") as stream:
            asked = json.load(stream)
        usercode = importlib.import_module("leoflow.runtime.usercode")
        document = json.dumps(usercode.call(asked)).encode()
        with os.fdopen(result, "wb") as stream:
            stream.write(document)
        for each in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                each.flush()
        os._exit(0)

    # -- children -----------------------------------------------------------------------------------------

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._wake_read, 512)) == 512:
                pass
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if info is None:
                break
            self._bury(info.si_pid)
        processes.kill_strangers(self._known())

    def _known(self) -> "set[int]":
        return set(self._orders) | self._spares.pids | self._reusables.pids | self._strangers_allowed

    def _bury(self, pid: int) -> None:
        # The leader is still a zombie here, so its group id cannot have been given to anyone else.
        left_behind = processes.strangers(self._known()) if pid in self._orders else 0
        order_id = self._orders.pop(pid, None)
        if order_id is not None:
            processes.kill_group(pid, signal.SIGKILL)
        self._strangers_allowed.discard(pid)
        self._spares.bury(pid)
        self._reusables.bury(pid)
        _, status, usage = os.wait4(pid, 0)
        if order_id is not None:
            control.send(
                self._channel,
                {
                    "event": "exited",
                    "id": order_id,
                    "status": os.waitstatus_to_exitcode(status),
                    "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 4),
                    "max_rss_kb": usage.ru_maxrss,
                    "left_behind": left_behind,
                },
            )

    def _kill(self, order_id: str, sig: int) -> None:
        for pid, known in self._orders.items():
            if known == order_id:
                processes.kill_group(pid, sig)
                # A child that has not called setsid yet is in our own group; reach it directly.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sig)

    def _kill_all(self) -> None:
        signal.set_wakeup_fd(-1)
        for pid in self._orders:
            processes.kill_group(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            processes.kill_strangers(self._strangers_allowed)
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                time.sleep(0.01)


def _redirect_output(descriptor: int) -> None:
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.dup2(descriptor, sdk_adapter.LOG_DESCRIPTOR, inheritable=False)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.close(descriptor)
    sdk_adapter.reopen_standard_streams()


def main() -> None:
    """Import and warm the SDK, then serve the control channel named on the command line."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    processes.hide_main()
    sdk = sdk_adapter.Sdk()
    sdk.warm_up()
    for module in _LOADING:
        importlib.import_module(module)
    sdk_adapter.settle()
    processes.use_huge_pages()
    found = hazards.fork_hazards(1, "starting Python in this environment")
    Zygote(channel, sdk).serve({"event": "ready", "hazards": found, "seconds": round(time.process_time(), 4)})


if __name__ == "__main__":
    main()
