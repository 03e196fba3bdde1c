"""Calls pieces of projects' code in forks of their environments' zygotes, within limits."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import tempfile
import uuid
from pathlib import Path

import orjson

from leoflow.execution.context import Store
from leoflow.execution.usercode import Call, CallAnswer, CallError
from leoflow.worker.call_supervisor import CallSupervisor
from leoflow.worker.launchers.base import Ended, LaunchError
from leoflow.worker.launchers.directories import AttemptDirectories
from leoflow.worker.launchers.fork_client import ZygoteClient
from leoflow.worker.launchers.pipes import Pipe
from leoflow.worker.launchers.process import ForkServerLauncher

_KEPT_OUTPUT = 32_768
_DRAIN_SECONDS = 1.0


class ForkedUserCode:
    """Implements `leoflow.execution.usercode.UserCode`.

    Args:
        launcher: keeps the zygotes.
        home: LEOFLOW_HOME; called code gets a directory of its own below `home/tmp`.
        store: the database, for what called code asks for; None: it gets nothing.
    """

    def __init__(self, launcher: ForkServerLauncher, home: Path, store: Store | None) -> None:
        self._launcher = launcher
        self._store = store
        self._home = home
        self._directories = AttemptDirectories(home / "tmp" / "calls")

    async def call(self, call: Call) -> CallAnswer:
        """See `UserCode.call`."""
        try:
            client = await self._launcher.client_of(call.place.environment_key)
            directory = self._directories.take()
        except (LaunchError, OSError) as error:
            raise _failed(call, "environment", str(error), "Run `leoflow doctor`.") from error
        try:
            return await self._call(client, call, directory)
        finally:
            await self._directories.give_back(directory)

    async def _call(self, client: ZygoteClient, call: Call, directory: Path) -> CallAnswer:
        order_id = f"call-{uuid.uuid4()}"
        order = {"op": "call", "id": order_id, "memory_bytes": call.limits.memory_bytes, "tmp": str(directory / "tmp")}
        ours, theirs = socket.socketpair()
        result_read, result_write = os.pipe()
        output_read, output_write = os.pipe()
        with tempfile.TemporaryFile(dir=self._home / "tmp") as request:
            request.write(_message(call, directory))
            request.seek(0)
            try:
                await client.fork(order, (request.fileno(), result_write, output_write, theirs.fileno()))
            except LaunchError as error:
                ours.close()
                os.close(result_read)
                os.close(output_read)
                raise _failed(call, "environment", error.reason, "Run `leoflow doctor`.") from error
            finally:
                theirs.close()
                os.close(result_write)
                os.close(output_write)
        return await _Conversation(client, order_id, call, ours, self._store).run(result_read, output_read)


class _Conversation:
    """One fork: reads its answer and output, answers its questions, and ends it and all it started."""

    def __init__(
        self, client: ZygoteClient, order_id: str, call: Call, sock: socket.socket, store: Store | None
    ) -> None:
        self._client = client
        self._order_id = order_id
        self._call = call
        self._supervisor = CallSupervisor(sock, call.attempt, store)

    async def run(self, result: int, output: int) -> CallAnswer:
        limits = self._call.limits
        answer = Pipe(result, keep_start=limits.result_bytes + 1, keep_end=0)
        printed = Pipe(output, keep_start=_KEPT_OUTPUT, keep_end=_KEPT_OUTPUT, limit=limits.output_bytes)
        exited = asyncio.ensure_future(self._client.wait(self._order_id))
        try:
            verdict = await self._watch(exited, printed)
            if verdict is None:
                await asyncio.wait({answer.closed, printed.closed}, timeout=_DRAIN_SECONDS)
        finally:
            self._client.kill(self._order_id, signal.SIGKILL)
            exited.add_done_callback(lambda _: self._client.forget(self._order_id))
            answer.stop()
            printed.stop()
            self._supervisor.close()
        text = self._readable(printed.text())
        if verdict is not None:
            raise _failed(self._call, *verdict, output=text)
        if answer.size > limits.result_bytes:
            raise _failed(self._call, "result-limit", "the answer is too large", "Return less.", output=text)
        if not answer.start:
            raise self._died(exited.result(), text)
        return self._read(bytes(answer.start), text)

    async def _watch(self, exited: "asyncio.Future[Ended]", printed: Pipe) -> tuple[str, str, str] | None:
        limits = self._call.limits
        waiting: set[asyncio.Future[Ended] | asyncio.Future[None]] = {exited, printed.exceeded}
        done, _ = await asyncio.wait(waiting, timeout=limits.seconds, return_when="FIRST_COMPLETED")
        if exited in done:
            return None
        if printed.exceeded in done:
            return "output-limit", f"it printed more than {limits.output_bytes >> 10} KiB and was killed", "Print less."
        return (
            "time-limit",
            f"it did not end within {limits.seconds:g} s and was killed",
            "Look for an endless loop or a slow call; give network calls a time limit of their own.",
        )

    def _died(self, ended: Ended, output: str) -> CallError:
        if ended.lost:
            return _failed(self._call, "environment", "the fork server died", "Run `leoflow doctor`.", output=output)
        if ended.status == -signal.SIGKILL or "MemoryError" in output[-2000:]:
            what = f"its process was killed; it may need more than {self._call.limits.memory_bytes >> 20} MiB of memory"
        elif ended.status < 0:
            what = f"its process crashed with signal {-ended.status}"
        else:
            what = f"its process ended with exit code {ended.status} before it was done"
        return _failed(self._call, "died", what, "The output says more, if anything was printed.", output=output)

    def _read(self, document: bytes, output: str) -> CallAnswer:
        answer = json.loads(self._supervisor.masker.mask(document))
        problem = answer.get("error")
        if problem is None:
            return CallAnswer(answer["result"], output, answer["seconds"])
        file = problem["file"] or self._call.place.file
        raise CallError(
            problem["what"],
            rule=problem["rule"],
            where=f"{file}:{problem['line']}" if problem["line"] else file,
            hint=problem["hint"],
            output="\n".join(filter(None, (output.rstrip(), problem["traceback"].rstrip()))),
        )

    def _readable(self, output: str) -> str:
        """The output as text, structured log lines included, without the secrets the code was given."""
        mask = self._supervisor.masker.mask
        return "\n".join(_plain(str(orjson.loads(mask(orjson.dumps(line))))) for line in output.splitlines())


def _message(call: Call, directory: Path) -> bytes:
    place = call.place
    return orjson.dumps(
        {
            **call.arguments,
            "call": call.name,
            "root": place.bundle_path,
            "file": place.file,
            "dag_id": place.dag_id,
            "cwd": str(directory),
        },
        default=str,
    )


def _plain(line: str) -> str:
    if not line.startswith("{"):
        return line
    with contextlib.suppress(ValueError, TypeError, KeyError):
        record = json.loads(line)
        return f"{str(record.get('level', 'info')).upper()} - {record['event']}"
    return line


def _failed(call: Call, rule: str, what: str, hint: str, *, output: str = "") -> CallError:
    return CallError(what, rule=rule, where=f"{call.place.file}, DAG {call.place.dag_id}", hint=hint, output=output)
