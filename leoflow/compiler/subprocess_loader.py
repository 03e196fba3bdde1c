"""Loads a DAG file in a fresh process of the project's interpreter, within limits."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping
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
        question, answer, output = os.pipe(), os.pipe(), os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                self._python,
                "-u",
                BOOTSTRAP,
                "loading",
                str(question[0]),
                str(answer[1]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output[1],
                stderr=output[1],
                pass_fds=(question[0], answer[1]),
                start_new_session=True,
                env=self._environment(),
            )
        except OSError as error:
            _close(question[1], answer[0], output[0])
            raise request.error(
                f"cannot start {self._python}: {error.strerror}", rule="environment", hint="Run `leoflow doctor`."
            ) from error
        finally:
            _close(question[0], answer[1], output[1])
        message = {**request.message(), "memory_bytes": request.limits.memory_bytes}
        with contextlib.suppress(BrokenPipeError):
            os.write(question[1], json.dumps(message).encode())
        _close(question[1])
        return await _Conversation(process, request).run(answer[0], output[0])

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
    request: LoadRequest
    answer: bytearray = field(default_factory=bytearray)
    first: bytearray = field(default_factory=bytearray)
    last: bytearray = field(default_factory=bytearray)
    printed: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, answer: int, output: int) -> LoadResult:
        reader = asyncio.create_task(_read(answer, self._take_answer))
        drain = asyncio.create_task(_read(output, self._take_output))
        exit_ = asyncio.create_task(self.process.wait())
        try:
            await self._wait(exit_, drain)
        finally:
            # What it started ends with it; then nothing keeps the pipes open, and what it wrote is in them.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            status = await exit_
            await asyncio.wait({reader, drain}, timeout=1)
            for task in (reader, drain):
                task.cancel()
            await asyncio.wait({reader, drain})
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

    def _take_answer(self, chunk: bytes) -> bool:
        self.ready.set()
        self.answer += chunk
        return len(self.answer) <= self.request.limits.result_bytes

    def _take_output(self, chunk: bytes) -> bool:
        self.printed += len(chunk)
        room = KEPT_OUTPUT - len(self.first)
        self.first += chunk[:room]
        self.last = (self.last + chunk[max(room, 0) :])[-KEPT_OUTPUT:]
        return self.printed <= self.request.limits.output_bytes

    def output(self) -> str:
        """Return the beginning and the end of what the process printed."""
        cut = b"\n[...]\n" if self.printed > len(self.first) + len(self.last) else b""
        return (self.first + cut + self.last).decode("utf-8", "replace")


async def _read(descriptor: int, take: Callable[[bytes], bool]) -> None:
    """Hand what comes out of a pipe to `take` until the end, or until it has enough; closes the descriptor."""
    stream = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", 0)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    try:
        while chunk := await stream.read(1 << 16):
            if not take(chunk):
                return
    finally:
        transport.close()
