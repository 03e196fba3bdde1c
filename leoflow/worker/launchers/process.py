"""Runs attempts on this machine through fork servers: one per environment, one per project version below it."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from leoflow.environments.uv import offer_tools
from leoflow.errors import LeoflowError
from leoflow.runtime import control, processes, sdk_adapter
from leoflow.worker.launchers.base import LaunchError, LaunchOrder
from leoflow.worker.launchers.cores import Cores
from leoflow.worker.launchers.directories import AttemptDirectories
from leoflow.worker.launchers.environment_variables import clean_environment, secrets_in
from leoflow.worker.launchers.fork_client import ZygoteClient
from leoflow.worker.launchers.forked_attempt import Belongings, ForkedAttempt, fork_attempt
from leoflow.worker.launchers.wear import Wear

T = TypeVar("T")

log = structlog.get_logger(__name__)

BOOTSTRAP = Path(control.__file__).with_name("bootstrap.py")
IDLE_SECONDS = 600.0
MAX_PROJECTS = 64

InterpreterOf = Callable[[str | None], Awaitable[Path]]
"""Gives the Python of an environment key (None: the default environment), building it if need be."""

ProjectKey = tuple[str | None, str, str]


@dataclass(slots=True)
class _Environment:
    client: ZygoteClient
    process: asyncio.subprocess.Process
    hazards: list[str]


@dataclass(slots=True)
class _Project:
    client: ZygoteClient
    wear: Wear
    output: "asyncio.Task[str] | None" = None
    hazards: Sequence[str] = ()
    """Why it cannot be forked safely: each attempt then gets an interpreter of its own, and no server is kept."""


class ForkServerLauncher:
    """Keeps the zygotes and launches attempts from them.

    Args:
        interpreter_of: the Python of an environment.
        home: Leoflow's home; working directories of attempts go below `home/tmp`.
        shares_secrets: whether every fork inherits the connections and variables of the worker's environment;
            otherwise only the attempts get them whose orders name them.
        base_url: where people find the UI, for the links tasks send them (`ti.log_url`).
    """

    def __init__(
        self, interpreter_of: InterpreterOf, home: Path, *, shares_secrets: bool = True, base_url: str | None = None
    ) -> None:
        self._interpreter_of = interpreter_of
        self._defaults = {"AIRFLOW__API__BASE_URL": base_url} if base_url is not None else {}
        self._withheld = frozenset() if shares_secrets else frozenset(secrets_in(os.environ))
        self._home = home
        self._environments: dict[str | None, asyncio.Task[_Environment]] = {}
        self._projects: dict[ProjectKey, asyncio.Task[_Project]] = {}
        self._worn: list[_Project] = []
        self._directories = AttemptDirectories(home / "tmp" / "attempts")
        self._cores = Cores()
        self._counter = 0

    # -- the port -----------------------------------------------------------------------------------------

    async def launch(self, order: LaunchOrder) -> ForkedAttempt:
        """Fork an attempt from its project's zygote.

        Raises:
            LaunchError: the environment, the project or the fork failed.
        """
        self._recycle()
        project = await self._project(order)
        client = project.client
        project.wear.count()
        if project.hazards:
            client = (await self._environment(order.environment_key)).client
        belongings = Belongings(self._directories, self._cores, order.cores)
        directory = str(belongings.directory)
        message = {
            "op": "spawn" if project.hazards else "attempt",
            "id": order.attempt_id,
            "cwd": directory,
            "env": {**order.env, "TMPDIR": f"{directory}/tmp", "LEOFLOW_BUNDLE_PATH": str(order.bundle_path)},
            "memory_bytes": order.memory_bytes,
            "cores": belongings.cores,
            "attempts_per_process": order.attempts_per_process,
            "log_limit_bytes": order.log_limit_bytes,
        }
        return await fork_attempt(client, message, belongings, order.greeting, self._remarks(order, project))

    def _remarks(self, order: LaunchOrder, project: _Project) -> list[str]:
        """Return what the attempt's log must say."""
        remarks = []
        if project.hazards:
            remarks.append(
                f"{order.relative_fileloc} cannot be forked: {' and '.join(project.hazards)}. "
                "This attempt starts an interpreter of its own and imports the file, which takes a second or more."
            )
        if order.cores is not None and not self._cores.can_limit:
            remarks.append("This system cannot keep a process to some of its cores: the limit of cpu is not applied.")
        return remarks

    async def close(self) -> None:
        """Close every zygote; whatever they forked is killed."""
        projects = [*_started(self._projects.values()), *self._worn]
        environments = _started(self._environments.values())
        self._projects.clear()
        self._environments.clear()
        self._worn.clear()
        for project in projects:
            project.client.close()
        for environment in environments:
            environment.client.close()
            await _wait_or_kill(environment.process)
        self._directories.close()

    # -- loaders ------------------------------------------------------------------------------------------

    async def fork_loader(
        self, environment_key: str | None, request: dict[str, object], memory_bytes: int | None
    ) -> tuple[ZygoteClient, str, int, int]:
        """Fork a process that compiles a DAG file. Returns the client, the fork's id, and the ends to read.

        Raises:
            LaunchError: the environment or the fork failed.
        """
        client = (await self._environment(environment_key)).client
        order_id = self._next_id("load")
        result_read, result_write = os.pipe()
        output_read, output_write = os.pipe()
        message = {"op": "load", "id": order_id, "request": request, "memory_bytes": memory_bytes}
        try:
            await client.fork(message, (result_write, output_write))
        except BaseException:
            os.close(result_read)
            os.close(output_read)
            raise
        finally:
            os.close(result_write)
            os.close(output_write)
        return client, order_id, result_read, output_read

    async def hazards_of(self, environment_key: str | None) -> Sequence[str]:
        """Return why nothing of an environment can be forked; nothing where it can.

        Raises:
            LaunchError: the environment cannot be had.
        """
        return (await self._environment(environment_key)).hazards

    async def client_of(self, environment_key: str | None) -> ZygoteClient:
        """Return the channel to an environment's zygote, started if need be.

        Raises:
            LaunchError: the environment cannot be had.
        """
        return (await self._environment(environment_key)).client

    # -- triggers -----------------------------------------------------------------------------------------

    async def fork_trigger_runner(
        self, environment_key: str | None, bundle_path: str | None
    ) -> tuple[ZygoteClient, str, socket.socket, int]:
        """Fork a process that runs triggers. Returns the client, the fork's id, our socket, and the log to read.

        Raises:
            LaunchError: the environment or the fork failed.
        """
        client = (await self._environment(environment_key)).client
        order_id = self._next_id("triggers")
        ours, theirs = socket.socketpair()
        log_read, log_write = os.pipe()
        try:
            message = {"op": "triggers", "id": order_id, "bundle_path": bundle_path}
            await client.fork(message, (theirs.fileno(), log_write))
        except BaseException:
            ours.close()
            os.close(log_read)
            raise
        finally:
            theirs.close()
            os.close(log_write)
        return client, order_id, ours, log_read

    # -- zygotes ------------------------------------------------------------------------------------------

    async def _environment(self, key: str | None) -> _Environment:
        task = self._environments.get(key)
        if task is None or _is_over(task):
            task = self._environments[key] = asyncio.create_task(self._start_environment(key))
        return await asyncio.shield(task)

    async def _start_environment(self, key: str | None) -> _Environment:
        try:
            python = await self._interpreter_of(key)
        except LeoflowError as error:
            raise LaunchError(f"the project's environment is not available: {error}. {error.hint}") from error
        processes.hide_memory()  # user code runs as the same user from here on
        sdk_home = self._home / "tmp" / "airflow"
        sdk_home.mkdir(parents=True, exist_ok=True, mode=0o700)
        ours, theirs = control.pair()
        try:
            process = await asyncio.create_subprocess_exec(
                str(python),
                str(BOOTSTRAP),
                "zygote",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                env={**self._inherited(), **sdk_adapter.sdk_environment(str(sdk_home))},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise LaunchError(f"the environment's Python cannot be started ({error})", infrastructure=True) from error
        finally:
            theirs.close()
        client = ZygoteClient(ours, f"environment {key or 'default'}")
        last_words = asyncio.create_task(_follow(process, client.name))
        try:
            hello = await client.hello()
        except LaunchError as error:
            await process.wait()
            text = await last_words
            raise LaunchError(f"the Task SDK cannot be loaded in the project's environment:\n{text}") from error
        except BaseException:
            client.close()
            raise
        if hello["hazards"]:
            log.warning("nothing of this environment is forked", environment=client.name, because=hello["hazards"])
        return _Environment(client, process, hello["hazards"])

    def _inherited(self) -> dict[str, str]:
        inherited = {name: text for name, text in os.environ.items() if name not in self._withheld}
        return offer_tools(clean_environment({**self._defaults, **inherited}), self._home / "tools")

    async def _project(self, order: LaunchOrder) -> _Project:
        key = (order.environment_key, str(order.bundle_path), order.relative_fileloc)
        task = self._projects.get(key)
        if task is None or _is_over(task) or self._is_worn(task):
            task = self._projects[key] = asyncio.create_task(self._start_project(key))
        return await asyncio.shield(task)

    def _is_worn(self, task: "asyncio.Task[_Project]") -> bool:
        """Tell whether a fork server is to be replaced; it goes when the attempts that still run have ended."""
        if not task.done() or not task.result().wear.is_worn or task.result().hazards:
            return False
        self._worn.append(task.result())
        return True

    async def _start_project(self, key: ProjectKey) -> _Project:
        environment_key, bundle_path, relative_fileloc = key
        environment = await self._environment(environment_key)
        if environment.hazards:
            return _Project(environment.client, Wear(environment.process.pid), hazards=environment.hazards)
        ours, theirs = control.pair()
        output_read, output_write = os.pipe()
        client = ZygoteClient(ours, relative_fileloc)
        message = {
            "op": "project",
            "id": self._next_id("project"),
            "bundle_path": bundle_path,
            "relative_path": relative_fileloc,
        }
        output = asyncio.create_task(_collect(output_read))
        try:
            pid = await environment.client.fork(message, (theirs.fileno(), output_write), watch=False)
        except BaseException:
            client.close()
            raise
        finally:
            theirs.close()
            os.close(output_write)
        try:
            hello = await client.hello()
        except LaunchError as error:
            text = await output
            raise LaunchError(f"importing {relative_fileloc} ended the process that imported it.\n{text}") from error
        except BaseException:
            client.close()
            raise
        if hello["event"] == "unloadable":
            client.close()
            raise LaunchError(f"{relative_fileloc} cannot be imported:\n{hello['reason']}")
        if hello["hazards"]:
            log.info("project is not forked, each attempt loads it", file=relative_fileloc, because=hello["hazards"])
            client.close()
        return _Project(client, Wear(pid), output, hello["hazards"])

    def _recycle(self) -> None:
        """Close project zygotes that are worn or unused for a while, or the longest unused above the maximum."""
        for worn in [each for each in self._worn if each.client.running == 0]:
            worn.client.close()
            self._worn.remove(worn)
        now = asyncio.get_running_loop().time()
        idle = []
        for key, task in self._projects.items():
            if task.done() and not task.cancelled() and task.exception() is None:
                project = task.result()
                if not project.hazards and project.client.running == 0:
                    idle.append((project.client.last_used, key, project))
        idle.sort(key=lambda item: item[0])
        surplus = len(self._projects) - MAX_PROJECTS
        for position, (last_used, key, project) in enumerate(idle):
            if position < surplus or now - last_used > IDLE_SECONDS:
                project.client.close()
                del self._projects[key]

    def _next_id(self, kind: str) -> str:
        self._counter += 1
        return f"{kind}-{self._counter}"


def _started(tasks: Iterable[asyncio.Task[T]]) -> list[T]:
    """Return the results of the starts that succeeded; cancel the ones under way."""
    for task in tasks:
        task.cancel()
    return [task.result() for task in tasks if task.done() and not task.cancelled() and task.exception() is None]


def _is_over(task: "asyncio.Task[_Environment] | asyncio.Task[_Project]") -> bool:
    """Tell whether a finished start must be repeated: it failed, or its zygote has died since."""
    if not task.done():
        return False
    if task.cancelled() or task.exception() is not None:
        return True
    started = task.result()
    if isinstance(started, _Project) and started.hazards:
        return False
    return not started.client.alive


async def _follow(process: asyncio.subprocess.Process, name: str) -> str:
    """Log what an environment zygote prints, and return its last lines when it ends."""
    kept: list[str] = []
    assert process.stdout is not None
    while True:
        try:
            raw = await process.stdout.readline()
        except ValueError:  # a line above the stream's limit
            continue
        if not raw:
            return "\n".join(kept)
        line = raw.decode(errors="replace").rstrip()
        kept = [*kept[-40:], line]
        log.debug("fork server output", zygote=name, line=line)


async def _collect(descriptor: int, limit: int = 64 * 1024) -> str:
    """Read a pipe to its end, keeping the last part of it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    kept = b""
    try:
        while data := await reader.read(65536):
            kept = (kept + data)[-limit:]
    finally:
        transport.close()
    return kept.decode(errors="replace")


async def _wait_or_kill(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(5):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
