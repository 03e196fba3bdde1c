"""Loads a DAG file in a fresh process of the project's interpreter, within limits."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import leoflow.runtime
from leoflow.compiler import loader
from leoflow.compiler.loader import LoadRequest, LoadResult
from leoflow.runtime.sdk_adapter import sdk_environment

KEPT_OUTPUT = 32_768
BOOTSTRAP = Path(leoflow.runtime.__file__).with_name("bootstrap.py")


class SubprocessLoader:
    """Starts one process per file: slower than a fork of a warm one, but needs nothing beforehand.

    Args:
        python: the project's interpreter.
        home: a directory Airflow's library may use as its own.
        environ: what user code sees of the environment; default: ours without Leoflow's settings.
    """

    def __init__(self, python: Path, *, home: Path, environ: Mapping[str, str] | None = None) -> None:
        self._python = python
        self._home = home
        self._environ = environ

    async def load(self, request: LoadRequest) -> LoadResult:
        """See `DagLoader.load`."""
        ours, theirs = os.pipe(), os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                self._python,
                "-u",
                BOOTSTRAP,
                "loading",
                str(ours[0]),
                str(theirs[1]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(ours[0], theirs[1]),
                start_new_session=True,
                env=self._environment(),
            )
        except OSError as error:
            _close(ours[1], theirs[0])
            raise request.error(
                f"cannot start {self._python}: {error.strerror}", rule="environment", hint="Run `leoflow doctor`."
            ) from error
        finally:
            _close(ours[0], theirs[1])
        os.write(ours[1], json.dumps({**request.message(), "memory_bytes": request.limits.memory_bytes}).encode())
        _close(ours[1])
        return await _Conversation(process, theirs[0], request).run()

    def _environment(self) -> dict[str, str]:
        environ = os.environ if self._environ is None else self._environ
        hidden = ("LEOFLOW_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        kept = {name: value for name, value in environ.items() if not name.startswith(hidden)}
        return sdk_environment(str(self._home)) | kept | {"AIRFLOW_HOME": str(self._home), "PYTHONHASHSEED": "0"}


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@dataclass(slots=True)
class _Conversation:
    """One loading process: reads its answer and its output, and ends it and all it started."""

    process: asyncio.subprocess.Process
    descriptor: int
    request: LoadRequest
    answer: bytearray = field(default_factory=bytearray)
    first: bytearray = field(default_factory=bytearray)
    last: bytearray = field(default_factory=bytearray)
    printed: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> LoadResult:
        reader = asyncio.create_task(self._read_answer())
        drain = asyncio.create_task(self._read_output())
        exit_ = asyncio.create_task(self.process.wait())
        try:
            await self._wait(exit_, drain)
            status = exit_.result()
            # Something it left behind may keep the pipes open; what it wrote before it ended is in them already.
            await asyncio.wait({reader, drain}, timeout=1)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            for task in (reader, drain):
                task.cancel()
            await asyncio.wait({reader, drain})
            await exit_
        if len(self.answer) > self.request.limits.result_bytes:
            raise loader.too_large(self.request)
        if not self.answer.strip():
            raise loader.died(self.request, status, self.output())
        return loader.read_result(self.request, bytes(self.answer), self.output())

    async def _wait(self, exit_: asyncio.Task[int], drain: asyncio.Task[None]) -> None:
        limits = self.request.limits
        ready = asyncio.create_task(self.ready.wait())
        try:
            await asyncio.wait({exit_, ready}, timeout=limits.startup_seconds, return_when="FIRST_COMPLETED")
            if not ready.done() and not exit_.done():
                raise self.request.error(
                    f"the project's interpreter was not ready after {limits.startup_seconds:g} s",
                    rule="startup",
                    hint="The machine may be overloaded; try again, or run `leoflow doctor`.",
                    output=self.output(),
                )
        finally:
            ready.cancel()
        deadline = asyncio.get_running_loop().time() + limits.seconds
        while not exit_.done():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise loader.too_slow(self.request, self.output())
            watched = {exit_} if drain.done() else {exit_, drain}
            await asyncio.wait(watched, timeout=left, return_when="FIRST_COMPLETED")
            if self.printed > limits.output_bytes:
                raise loader.too_loud(self.request, self.output())

    async def _read_answer(self) -> None:
        stream = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(self.descriptor, "rb", 0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
        try:
            while chunk := await stream.read(1 << 16):
                self.ready.set()
                self.answer += chunk
                if len(self.answer) > self.request.limits.result_bytes:
                    return
        finally:
            transport.close()

    async def _read_output(self) -> None:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(1 << 16):
            self.printed += len(chunk)
            room = KEPT_OUTPUT - len(self.first)
            self.first += chunk[:room]
            self.last = (self.last + chunk[max(room, 0) :])[-KEPT_OUTPUT:]
            if self.printed > self.request.limits.output_bytes:
                return

    def output(self) -> str:
        """Return the beginning and the end of what the process printed."""
        cut = b"\n[...]\n" if self.printed > len(self.first) + len(self.last) else b""
        return (self.first + cut + self.last).decode("utf-8", "replace")
