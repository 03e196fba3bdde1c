"""Compiles DAG files in forks of the warm environment zygote: a few milliseconds instead of seconds per file."""

import asyncio
import dataclasses
import signal
from typing import Any

from leoflow.compiler import loader
from leoflow.compiler.loader import LoadRequest, LoadResult
from leoflow.worker.launchers.base import Ended, LaunchError
from leoflow.worker.launchers.pipes import Pipe
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
        answer = Pipe(result_fd, keep_start=limits.result_bytes + 1, keep_end=0)
        output = Pipe(output_fd, keep_start=_KEPT_OUTPUT, keep_end=_KEPT_OUTPUT, limit=limits.output_bytes)
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
        result = loader.read_result(request, bytes(answer.start), output.text())
        of_environment = await self._launcher.hazards_of(self._environment_key)
        return dataclasses.replace(result, fork_hazards=(*of_environment, *result.fork_hazards))

    async def _watch(self, exited: "asyncio.Future[Ended]", output: Pipe, answer: Pipe, request: LoadRequest) -> None:
        waiting: set[asyncio.Future[Any]] = {exited, output.exceeded}
        done, _ = await asyncio.wait(waiting, timeout=request.limits.seconds, return_when="FIRST_COMPLETED")
        if exited in done:
            return
        if output.exceeded in done:
            raise loader.too_loud(request, output.text())
        if answer.size > request.limits.result_bytes:
            raise loader.too_large(request)
        raise loader.too_slow(request, output.text())
