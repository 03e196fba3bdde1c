"""One run of one DAG to its end, without a server: what `leoflow run` does."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from leoflow import engine
from leoflow.compiler import CompiledDag, CompileError, Project, discover, report_project
from leoflow.config import Settings
from leoflow.crypto import read_keys, write_keys
from leoflow.db import Pool, retry_transient
from leoflow.db.embedded import EmbeddedPostgres
from leoflow.db.queries import load
from leoflow.errors import ExitCode, LeoflowError
from leoflow.execution import manual_runs
from leoflow.execution.params import problem_with
from leoflow.lite.data import database
from leoflow.lite.interpreters import Interpreters
from leoflow.lite.local_worker import LocalWorker
from leoflow.lite.registry import Registry
from leoflow.lite.reload import as_compile_error
from leoflow.lite.scratch import scratch_home
from leoflow.lite.sql_errors import in_users_words
from leoflow.lite.stopping import stop_on_signals
from leoflow.scheduler.callbacks import CallbackResult, Callbacks
from leoflow.scheduler.scheduler import timers_only
from leoflow.spec import as_json
from leoflow.supervision import Part, running
from leoflow.triggerer import Triggerer

SQL = load("run")
LOOK_SECONDS = 0.1
CALLBACK_SECONDS = 0.5
LATE_CHUNKS = 100
"""Chunks of logs are committed in another order than they are numbered; so many back are looked at again."""
FINAL = frozenset({"success", "failed"})
SCRATCH_POSTGRES = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_wal_size": "2GB"}


@dataclass(frozen=True, slots=True)
class Request:
    """What to run."""

    path: Path
    dag_id: str | None = None
    conf: dict[str, Any] | None = None
    logical_date: datetime | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """A task instance as it is at the moment."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    start_date: datetime | None
    end_date: datetime | None

    @property
    def label(self) -> str:
        """The task's id, with its map index if it is mapped."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"

    @property
    def duration(self) -> float | None:
        """Seconds between start and end."""
        if self.start_date is None or self.end_date is None:
            return None
        return round((self.end_date - self.start_date).total_seconds(), 6)


@dataclass(frozen=True, slots=True)
class Result:
    """How the run stands; `timed_out` when its end was not waited for any longer."""

    dag_id: str
    run_id: str
    state: str
    duration_seconds: float
    tasks: tuple[Instance, ...]
    xcoms: dict[str, Any]
    timed_out: bool = False


class Watcher(Protocol):
    """Is shown what happens."""

    wants_logs: bool

    def step(self, text: str, /) -> None:
        """Something that may take a while begins."""

    def warning(self, text: str) -> None:
        """Something that does not stop the run."""

    def started(self, dag_id: str, run_id: str, total: int) -> None:
        """The run exists."""

    def changed(self, instance: Instance) -> None:
        """A task instance has a new state."""

    def log_lines(self, task_id: str, map_index: int, lines: Sequence[str]) -> None:
        """More of a task's log."""

    def called_back(self, done: CallbackResult, /) -> None:
        """A callback of the DAG, of a lost task or of a missed deadline was called."""

    def stopping(self) -> None:
        """Ctrl-C arrived."""


async def run_once(settings: Settings, request: Request, watcher: Watcher) -> Result | None:
    """Run the DAG and return its result; None after Ctrl-C. Nothing of the throw-away server outlives the call.

    Raises:
        LeoflowError: there is no such DAG, it cannot be compiled, or the database refuses.
    """
    servers: list[EmbeddedPostgres] = []

    def force() -> None:
        for server in servers:
            server.kill()

    async with stop_on_signals(watcher.stopping, force), scratch_home(settings.home) as scratch:
        postgres = None
        if settings.dsn is None:
            cache, bin_dir = settings.home / "pg-cache", settings.postgres.bin_dir
            postgres = EmbeddedPostgres(scratch, bin_dir=bin_dir, settings=SCRATCH_POSTGRES, cache_dir=cache)
            servers.append(postgres)
        projects = await asyncio.to_thread(discover, request.path)
        async with database(settings, postgres, watcher.step, application_name="leoflow-run") as (dsn, pool):
            room = _Room(settings, scratch, pool, dsn, watcher)
            async with room.open():
                return await room.run(projects, request)
    return None


@dataclass(slots=True)
class _Room:
    """The parts that work on one run."""

    settings: Settings
    scratch: Path
    pool: Pool
    dsn: str
    watcher: Watcher
    interpreters: Interpreters = field(init=False)
    worker: LocalWorker = field(init=False)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Start the worker and the timers."""
        here = self.settings.model_copy(update={"home": self.scratch})
        if self.settings.dsn is not None:
            write_keys(self.scratch, read_keys(self.settings.home))
        timeout = self.settings.environments.build_timeout_seconds
        self.interpreters = Interpreters(self.settings.home, self.pool, timeout=timeout, progress=self.watcher.step)
        self.worker = LocalWorker(here, self.pool, self.dsn, self.interpreters)
        self.interpreters.use(self.worker.loader)
        parts: dict[str, Part] = {
            "worker": self.worker.run,
            "triggerer": lambda: Triggerer(self.pool, here, self.worker.fork_trigger_runner, dsn=self.dsn).run(),
        }
        parts |= {service.name: service.run for service in timers_only(self.pool, self.settings, self.worker)}
        async with running(parts):
            yield

    async def run(self, projects: list[Project], request: Request) -> Result:
        """Register everything, run the one DAG, and wait for its end."""
        self.watcher.step("loading the DAGs")
        dags, errors = await self._compile(projects)
        chosen = _choose(dags, errors, request)
        for error in errors:
            self.watcher.warning(f"{error}")
        _check_conf(chosen, request)
        for warning in chosen.warnings:
            self.watcher.warning(f"{chosen.spec.dag_id}: {warning}")
        for dag in dags:
            await self._register(dag)
        run_key, run_id = await self._create(chosen.spec.dag_id, request)
        self.watcher.started(chosen.spec.dag_id, run_id, len(chosen.spec.tasks))
        return await self._follow(chosen.spec.dag_id, run_key, run_id, request.timeout)

    async def _compile(self, projects: list[Project]) -> tuple[list[CompiledDag], list[CompileError]]:
        gate = asyncio.Semaphore(self.settings.lite.parallel_loads)

        async def one(project: Project) -> tuple[list[CompiledDag], list[CompileError]]:
            async with gate:
                try:
                    interpreter = await self.interpreters.of_project(project)
                except LeoflowError as error:  # the other projects are none the worse for it
                    return [], [as_compile_error(error, project)]
                report = await report_project(project, interpreter.loader, home=self.scratch)
                return list(report.dags), list(report.errors)

        done = await asyncio.gather(*(one(project) for project in projects))
        return [dag for dags, _ in done for dag in dags], [error for _, errors in done for error in errors]

    async def _register(self, dag: CompiledDag) -> None:
        interpreter = await self.interpreters.of_project(dag.project)
        registry = Registry(self.pool, paused=False)
        await registry.register(dag, environment_key=interpreter.environment_key, started=time.monotonic())
        async with self.pool.connection() as connection:
            await engine.set_paused(connection, dag.spec.dag_id, False)

    async def _create(self, dag_id: str, request: Request) -> tuple[int, str]:
        wanted = manual_runs.ManualRun(logical_date=request.logical_date)
        planned = await manual_runs.plan(self.pool.connection, dag_id, wanted)
        async with self.pool.connection() as connection, in_users_words():
            run = await engine.create_run(
                connection, dag_id, conf=request.conf, triggered_by="cli", **planned.arguments()
            )
            await engine.wake_workers(connection)
        return run.run_key, run.run_id

    async def _follow(self, dag_id: str, run_key: int, run_id: str, timeout: float | None) -> Result:
        deadline = None if timeout is None else time.monotonic() + timeout
        view = _View(self.pool, run_key, self.watcher)
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._call_back(run_key, ended))
            while True:
                state, seconds = await retry_transient(view.state)
                await retry_transient(view.show_changes)
                late = deadline is not None and time.monotonic() > deadline
                if state in FINAL or late:
                    break
                await asyncio.sleep(LOOK_SECONDS)
            ended.set()
        if state in FINAL and self.watcher.wants_logs:
            await view.show_rest_of_logs()
        if state not in FINAL and self.settings.dsn is not None:
            async with self.pool.connection() as connection:
                await connection.execute(SQL["cancel_run"], (dag_id, run_id))
        xcoms = await retry_transient(functools.partial(_return_values, self.pool, run_key))
        return Result(dag_id, run_id, state, round(seconds, 6), view.instances, xcoms, timed_out=state not in FINAL)

    async def _call_back(self, run_key: int, ended: asyncio.Event) -> None:
        """Carry out what the run asks for until it has ended, and show how that went."""
        callbacks = Callbacks(self.pool, self.worker, self.settings.usercode)
        is_last = False
        while not is_last:
            is_last = ended.is_set()
            for done in await retry_transient(functools.partial(callbacks.take, run_key)):
                self.watcher.called_back(done)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CALLBACK_SECONDS):
                    await ended.wait()


@dataclass(slots=True)
class _View:
    """Reads a run again and again, and tells the watcher what is new."""

    pool: Pool
    run_key: int
    watcher: Watcher
    instances: tuple[Instance, ...] = ()
    shown: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    shown_logs: set[int] = field(default_factory=set)

    async def state(self) -> tuple[str, float]:
        """The run's state and its seconds so far."""
        async with self.pool.connection() as connection:
            row = await (await connection.execute(SQL["run_state"], (self.run_key,))).fetchone()
        assert row is not None
        return str(row[0]), float(row[1])

    async def show_changes(self) -> None:
        """Tell what changed since the last time."""
        async with self.pool.connection() as connection:
            rows = await (await connection.execute(SQL["instances"], (self.run_key,))).fetchall()
        if self.watcher.wants_logs:
            await self._show_logs(max(self.shown_logs, default=0) - LATE_CHUNKS)
        self.instances = tuple(Instance(*row) for row in rows)
        for instance in self.instances:
            now = (instance.state, instance.try_number)
            if self.shown.get(instance.label, (None, 0)) != now:
                self.shown[instance.label] = now
                self.watcher.changed(instance)

    async def show_rest_of_logs(self) -> None:
        """Show the lines that come after the run's end, until all are there."""
        while True:
            if not await retry_transient(self._expects_logs):
                break
            await asyncio.sleep(LOOK_SECONDS)
        await retry_transient(functools.partial(self._show_logs, 0))

    async def _expects_logs(self) -> bool:
        async with self.pool.connection() as connection:
            row = await (await connection.execute(SQL["logs_are_open"], (self.run_key,))).fetchone()
        return bool(row and row[0])

    async def _show_logs(self, after: int) -> None:
        """Show the chunks after a place that were not shown yet."""
        known = [seq for seq in self.shown_logs if seq > after]
        async with self.pool.connection() as connection:
            chunks = await (await connection.execute(SQL["log_chunks"], (self.run_key, after, known))).fetchall()
        for seq, task_id, map_index, lines in chunks:
            self.shown_logs.add(seq)
            self.watcher.log_lines(task_id, map_index, [line for line in lines.split("\n") if line])


async def _return_values(pool: Pool, run_key: int) -> dict[str, Any]:
    async with pool.connection() as connection:
        rows = await (await connection.execute(SQL["return_values"], (run_key,))).fetchall()
    return {
        task_id if map_index < 0 else f"{task_id}[{map_index}]": None if value is None else orjson.loads(value)
        for task_id, map_index, value in rows
    }


def _check_conf(chosen: CompiledDag, request: Request) -> None:
    problem = problem_with(as_json(chosen.spec)["params"], request.conf or {})
    if problem is not None:
        raise LeoflowError(problem, where="--conf", hint=f"give it a value that fits {chosen.spec.source.path}")


def _choose(dags: list[CompiledDag], errors: list[CompileError], request: Request) -> CompiledDag:
    """The DAG to run.

    Raises:
        LeoflowError: it is not there, broken, or more than one could be meant.
    """
    by_id = {dag.spec.dag_id: dag for dag in dags}
    if request.dag_id is None and len(by_id) == 1 and not errors:
        return next(iter(by_id.values()))
    if request.dag_id in by_id:
        return by_id[request.dag_id]
    if errors and (request.dag_id is not None or not by_id):
        raise errors[0]
    ids = ", ".join(sorted(by_id))
    if request.dag_id is not None:
        raise LeoflowError("no such DAG", where=request.dag_id, hint=f"--dag-id with one of: {ids}")
    if len(by_id) == 1:
        raise errors[0]
    raise LeoflowError(
        "more than one DAG", where=str(request.path), hint=f"--dag-id with one of: {ids}", exit_code=ExitCode.USAGE
    )
