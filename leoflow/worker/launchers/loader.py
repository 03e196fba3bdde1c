"""Compiles DAG files in forks of the warm environment zygote: a few milliseconds instead of seconds per file."""

import asyncio
import os
import signal
from typing import Any

from leoflow.compiler import loader
from leoflow.compiler.loader import LoadRequest, LoadResult
from leoflow.worker.launchers.base import Ended, LaunchError
from leoflow.worker.launchers.process import ForkServerLauncher

_KEPT_OUTPUT = 32_768


class ForkServerLoader:
    """Implements `leoflow.compiler.loader.DagLoader` for one environment.

    Args:
        launcher: keeps the zygote.
        environment_key: which environment the project needs; None is the default one.
    """

    def __init__(self, launcher: ForkServerLauncher, environment_key: str | None = None) -> None:
        self._launcher = launcher
        self._environment_key = environment_key

    async def load(self, request: LoadRequest) -> LoadResult:
        """See `DagLoader.load`."""
        limits = request.limits
        try:
            client, order_id, result_fd, output_fd = await self._launcher.fork_loader(
                self._environment_key, request.message(), limits.memory_bytes
            )
        except LaunchError as error:
            raise request.error(error.reason, rule="environment", hint="Run `leoflow doctor`.") from error
        answer = _Pipe(result_fd, keep_start=limits.result_bytes + 1, keep_end=0)
        output = _Pipe(output_fd, keep_start=_KEPT_OUTPUT, keep_end=_KEPT_OUTPUT, limit=limits.output_bytes)
        exited = asyncio.ensure_future(client.wait(order_id))
        try:
            await self._watch(exited, output, answer, request)
            ended: Ended = exited.result()
            await asyncio.wait({answer.closed, output.closed}, timeout=1)
        finally:
            client.kill(order_id, signal.SIGKILL)
            exited.add_done_callback(lambda _: client.forget(order_id))
            answer.stop()
            output.stop()
        if answer.size > limits.result_bytes:
            raise loader.too_large(request)
        if not answer.start.strip():
            raise loader.died(request, ended.status, output.text())
        return loader.read_result(request, bytes(answer.start), output.text())

    async def _watch(
        self, exited: "asyncio.Future[Ended]", output: "_Pipe", answer: "_Pipe", request: LoadRequest
    ) -> None:
        waiting: set[asyncio.Future[Any]] = {exited, output.exceeded}
        done, _ = await asyncio.wait(waiting, timeout=request.limits.seconds, return_when="FIRST_COMPLETED")
        if exited in done:
            return
        if output.exceeded in done:
            raise loader.too_loud(request, output.text())
        if answer.size > request.limits.result_bytes:
            raise loader.too_large(request)
        raise loader.too_slow(request, output.text())


class _Pipe:
    """Reads a pipe as it fills; keeps its beginning and its end."""

    def __init__(self, descriptor: int, *, keep_start: int, keep_end: int, limit: int | None = None) -> None:
        self._descriptor = descriptor
        self._keep_start = keep_start
        self._keep_end = keep_end
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self.start = bytearray()
        self._end = bytearray()
        self.size = 0
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.exceeded: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._readable)

    def stop(self) -> None:
        """Close the pipe."""
        if not self.closed.done():
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self.closed.set_result(None)

    def text(self) -> str:
        """Return what was kept, with a mark where something is missing."""
        cut = b"\n[...]\n" if self.size > len(self.start) + len(self._end) else b""
        return (self.start + cut + self._end).decode("utf-8", "replace")

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, 1 << 16)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self.stop()
            return
        self.size += len(data)
        room = self._keep_start - len(self.start)
        self.start += data[:room] if room > 0 else b""
        if self._keep_end:
            self._end = (self._end + data[max(room, 0) :])[-self._keep_end :]
        if self._limit is not None and self.size > self._limit and not self.exceeded.done():
            self.exceeded.set_result(None)
