"""The worker's end of a zygote: sends requests over the control channel, resolves them from its events."""

import asyncio
import contextlib
import os
import signal
import socket
from typing import Any

from leoflow.runtime import control
from leoflow.worker.launchers.base import Ended, LaunchError


class ZygoteClient:
    """One control channel. Created inside a running event loop."""

    def __init__(self, channel: socket.socket, name: str) -> None:
        self.name = name
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._started: dict[str, asyncio.Future[int]] = {}
        self._ended: dict[str, asyncio.Future[Ended]] = {}
        self._pids: dict[str, int] = {}
        self._closed = False
        self.last_used = self._loop.time()
        channel.setblocking(False)
        self._loop.add_reader(channel.fileno(), self._readable)

    @property
    def alive(self) -> bool:
        """False once the zygote is gone."""
        return not self._closed

    @property
    def running(self) -> int:
        """How many forks of this zygote are alive."""
        return len(self._ended)

    async def hello(self) -> dict[str, Any]:
        """Return the zygote's first message, `ready` or `unloadable`.

        Raises:
            LaunchError: it died before it was ready.
        """
        return await asyncio.shield(self._hello)

    async def fork(self, order: dict[str, Any], descriptors: tuple[int, ...], *, watch: bool = True) -> int:
        """Ask for a fork and return its process id. The caller keeps and closes its copies of the descriptors.

        With `watch`, `wait` must be called afterwards, and `forget` after that.

        Raises:
            LaunchError: the zygote is gone or cannot fork.
        """
        order_id = order["id"]
        self.last_used = self._loop.time()
        started = self._started[order_id] = self._loop.create_future()
        if watch:
            self._ended[order_id] = self._loop.create_future()
        try:
            await self._send(order, descriptors)
            pid: int = await started
        except BaseException:
            self._ended.pop(order_id, None)
            raise
        finally:
            self._started.pop(order_id, None)
        if watch:
            self._pids[order_id] = pid
        return pid

    async def wait(self, order_id: str) -> Ended:
        """Return how a fork ended."""
        return await self._ended[order_id]

    def forget(self, order_id: str) -> None:
        """Drop a fork whose end was seen."""
        self._ended.pop(order_id, None)
        self._pids.pop(order_id, None)
        self.last_used = self._loop.time()

    def kill(self, order_id: str, sig: int) -> None:
        """Signal the group of a fork; a fork that has ended is fine."""
        if self._closed:
            return
        with contextlib.suppress(control.ControlClosedError, BlockingIOError):
            control.send(self._channel, {"op": "kill", "id": order_id, "signal": int(sig)})

    def close(self) -> None:
        """Close the channel: the zygote kills its forks and exits."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._channel.fileno())
        self._channel.close()
        gone = LaunchError(f"the fork server of {self.name} died", infrastructure=True)
        waiting: list[asyncio.Future[Any]] = [self._hello, *self._started.values()]
        for future in waiting:
            _fail(future, gone)
        for order_id, ended in self._ended.items():
            if not ended.done():
                self._kill_group_left_behind(order_id)
                ended.set_result(Ended(-signal.SIGKILL, lost=True))

    async def _send(self, order: dict[str, Any], descriptors: tuple[int, ...]) -> None:
        while True:
            if self._closed:
                raise LaunchError(f"the fork server of {self.name} died", infrastructure=True)
            try:
                control.send(self._channel, order, descriptors)
                return
            except BlockingIOError:
                await self._writable()
            except control.ControlClosedError:
                self.close()
            except ValueError as error:
                raise LaunchError(f"its environment variables are too large ({error})") from error

    async def _writable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_writer(self._channel.fileno(), _resolve, ready, None)
        try:
            await ready
        finally:
            if not self._closed:
                self._loop.remove_writer(self._channel.fileno())

    def _readable(self) -> None:
        while not self._closed:
            try:
                event, _ = control.receive(self._channel)
            except BlockingIOError:
                return
            except (control.ControlClosedError, OSError, ValueError):
                self.close()
                return
            self._handle(event)

    def _handle(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind in ("ready", "unloadable"):
            if not self._hello.done():
                self._hello.set_result(event)
        elif kind == "started":
            _resolve(self._started.get(event["id"]), event["pid"])
        elif kind == "refused":
            reason = f"the machine cannot start another process ({event['reason']})"
            _fail(self._started.get(event["id"]), LaunchError(reason, infrastructure=True))
        elif kind == "exited":
            ended = Ended(event["status"], False, event.get("max_rss_kb"), event.get("left_behind", 0))
            _resolve(self._ended.get(event["id"]), ended)

    def _kill_group_left_behind(self, order_id: str) -> None:
        # The attempt itself died with its zygote (PR_SET_PDEATHSIG); what it started may have survived it.
        pid = self._pids.get(order_id)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


def _resolve(future: "asyncio.Future[Any] | None", value: Any) -> None:
    if future is not None and not future.done():
        future.set_result(value)


def _fail(future: "asyncio.Future[Any] | None", error: Exception) -> None:
    if future is not None and not future.done():
        future.set_exception(error)
        future.exception()  # seen: nobody may be waiting any more
