"""Hot reload: keeps what is registered equal to what the files say, project by project.

A save of any file of a project compiles the DAG files it can affect, and nothing else. A broken file becomes an import
error while its last good version keeps running. A DAG is deactivated when its definition is seen to be gone, which an
unreadable leoflow.yaml or a vanished disk never is.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from leoflow.compiler import CompiledDag, CompileError, DagLoader, Project, compile_file, discover, snapshot
from leoflow.compiler.files import Tree, list_files, read_tree
from leoflow.errors import LeoflowError
from leoflow.lite.registry import Registered, Registry
from leoflow.lite.watch import changes
from leoflow.supervision import Backoff, log_failure

PASSING_RULES = frozenset({"snapshot", "changing", "startup", "environment"})
"""Rules broken by circumstances: worth another try without any change of the files."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Where the DAG files of a project are loaded, and the key of that environment."""

    loader: DagLoader
    environment_key: str


InterpreterOf = Callable[[Project], Awaitable[Interpreter]]


class Observer(Protocol):
    """Is told what the reload loop does."""

    def registered(self, dag: Registered, seconds: float) -> None:
        """A new version of a DAG, and the compiler's remarks on it."""

    def broken(self, error: LeoflowError) -> None:
        """A file that cannot be loaded."""

    def deactivated(self, dag_id: str) -> None:
        """A DAG whose definition is gone."""


@dataclass(slots=True)
class _State:
    """What is remembered of one project while Lite runs."""

    project: Project
    hashes: dict[str, str] = field(default_factory=dict)
    """By DAG file: the hash over all files that can affect it, when it was last compiled."""
    errors: dict[str, CompileError] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Reloader:
    """Watches one path and registers what it defines, until cancelled."""

    def __init__(
        self,
        path: Path,
        home: Path,
        registry: Registry,
        interpreter_of: InterpreterOf,
        observer: Observer,
        parallel: int,
    ) -> None:
        self._path = path
        self._home = home
        self._registry = registry
        self._interpreter_of = interpreter_of
        self._observer = observer
        self._slots = asyncio.Semaphore(parallel)
        self._states: dict[Path, _State] = {}
        self._owners: dict[str, Path] = {}

    async def run(self) -> None:
        """Register everything, then follow the changes."""
        try:
            await self._start()
            async for changed in changes(self._path):
                await self.rescan(changed)
        finally:
            running = [state.task for state in self._states.values() if state.task]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _start(self) -> None:
        for known in await self._registry.active_dags():
            self._owners[known.dag_id] = known.project
        await self.rescan(None)
        await self._drop_vanished()

    async def again(self, path: Path) -> None:
        """Load the project that `path` belongs to once more, changed or not."""
        for root, state in self._states.items():
            if path.is_relative_to(root):
                state.hashes.clear()
                self._schedule(state)

    async def rescan(self, changed: frozenset[Path] | None) -> None:
        """Look for projects again, and compile those that are new, different, or hold a changed path (None: all)."""
        found = await asyncio.to_thread(self._discover)
        if found is None:
            return
        projects = {project.root: project for project in found}
        for root in [root for root in self._states if root not in projects]:
            await self._forget(root)
        for root, project in projects.items():
            state = self._states.get(root)
            if state is None:
                state = self._states[root] = _State(project)
            elif changed is not None and project == state.project and not _touches(root, changed):
                continue
            state.project = project
            self._schedule(state)

    def _discover(self) -> list[Project] | None:
        try:
            return discover(self._path)
        except LeoflowError as error:
            if not self._path.exists():
                log.warning("the workspace is not there at the moment", path=str(self._path))
                return None
            log.warning(error.what, where=error.where)
            return []

    def _schedule(self, state: _State) -> None:
        state.changed.set()
        if state.task is None:
            state.task = asyncio.create_task(self._follow(state), name=f"reload {state.project.name}")

    async def _follow(self, state: _State) -> None:
        """Bring a project up to date until nothing is left to do; what failed by circumstance is tried again."""
        backoff = Backoff(first=1.0, limit=300.0, good_after=3600.0)
        try:
            while state.changed.is_set():
                state.changed.clear()
                if await self._attempt(state):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(backoff.pause()):
                            await state.changed.wait()
                    state.changed.set()
        finally:
            state.task = None

    async def _attempt(self, state: _State) -> bool:
        try:
            return await self._update(state)
        except Exception as error:
            log_failure(f"reload {state.project.name}", error)
            return True

    async def _update(self, state: _State) -> bool:
        """Compile what changed in a project and register it. Returns whether it should be tried again by itself."""
        project, started = state.project, time.monotonic()
        if project.error:
            state.hashes.clear()
            await self._show_errors(state, {project.error.file: project.error})
            return False
        try:
            interpreter = await self._interpreter_of(project)
            tree = await asyncio.to_thread(_snapshot, project, self._home)
        except LeoflowError as error:
            problem = as_compile_error(error, project)
            state.hashes.clear()
            await self._show_errors(state, {problem.file: problem})
            return True
        stale = _changed_files(project, tree, state.hashes)
        results = await asyncio.gather(*(self._compile(project, file, tree, interpreter) for file in stale))
        errors = {
            file: error for file, error in state.errors.items() if file in project.dag_files and file not in stale
        }
        defined: dict[str, set[str]] = {}
        for file, result in zip(stale, results, strict=True):
            if isinstance(result, CompileError):
                errors[file] = result
            else:
                defined[file] = {dag.spec.dag_id for dag in result}
                errors |= await self._register(project, file, result, interpreter, started)
        await self._deactivate_missing(project, defined)
        await self._show_errors(state, errors)
        passing = {file for file, error in errors.items() if error.rule in PASSING_RULES}
        state.hashes = {file: value for file, value in {**state.hashes, **stale}.items() if file not in passing}
        return bool(passing)

    async def _compile(
        self, project: Project, file: str, tree: Tree, interpreter: Interpreter
    ) -> list[CompiledDag] | CompileError:
        async with self._slots:
            try:
                return await compile_file(project, file, interpreter.loader, tree=tree, snapshotted=True)
            except CompileError as error:
                return error

    async def _register(
        self, project: Project, file: str, dags: list[CompiledDag], interpreter: Interpreter, started: float
    ) -> dict[str, CompileError]:
        errors: dict[str, CompileError] = {}
        for dag in dags:
            dag_id = dag.spec.dag_id
            owner = self._owners.get(dag_id)
            if owner is not None and owner != project.root and owner in self._states:
                errors[file] = _duplicate(project, dag, owner)
                continue
            try:
                done = await self._registry.register(dag, environment_key=interpreter.environment_key, started=started)
            except LeoflowError as error:
                errors[file] = as_compile_error(error, project, file)
                continue
            self._owners[dag_id] = project.root
            if done.is_new:
                self._observer.registered(done, time.monotonic() - started)
        return errors

    async def _deactivate_missing(self, project: Project, defined: dict[str, set[str]]) -> None:
        """Deactivate what a file that loads no longer defines, and what came from files that are gone."""
        wanted = set().union(*defined.values()) if defined else set()
        for known in await self._registry.active_dags():
            if known.project != project.root or known.dag_id in wanted:
                continue
            if known.file in defined or known.file not in project.dag_files:
                await self._deactivate(known.dag_id)

    async def _deactivate(self, dag_id: str) -> None:
        await self._registry.deactivate(dag_id)
        self._owners.pop(dag_id, None)
        self._observer.deactivated(dag_id)

    async def _forget(self, root: Path) -> None:
        """A project is gone: its DAGs are deactivated, its errors cleared, and others may take their ids."""
        state = self._states.pop(root)
        if state.task is not None:
            state.task.cancel()
            await asyncio.gather(state.task, return_exceptions=True)
        for known in await self._registry.active_dags():
            if known.project == root:
                await self._deactivate(known.dag_id)
        await self._registry.set_errors(root, {})
        for other in self._states.values():
            if any(error.rule == "duplicate-dag-id" for error in other.errors.values()):
                other.hashes.clear()
                self._schedule(other)

    async def _drop_vanished(self) -> None:
        """Deactivate the DAGs of projects below the path that went away while Lite was not running."""
        if not self._path.exists():
            return
        for known in await self._registry.active_dags():
            inside = known.project == self._path or known.project.is_relative_to(self._path)
            if inside and known.project not in self._states:
                await self._deactivate(known.dag_id)

    async def _show_errors(self, state: _State, errors: dict[str, CompileError]) -> None:
        project = state.project
        await self._registry.set_errors(project.root, {error.path: error.text() for error in errors.values()})
        for file, error in errors.items():
            if str(state.errors.get(file)) != str(error):
                self._observer.broken(error)
        state.errors = errors


def _touches(root: Path, changed: frozenset[Path]) -> bool:
    return any(path == root or path.is_relative_to(root) for path in changed)


def _snapshot(project: Project, home: Path) -> Tree:
    root = snapshot(project, home)
    return read_tree(root, include=["."], exclude=[], extra=list(list_files(root)))


def _changed_files(project: Project, tree: Tree, hashes: dict[str, str]) -> dict[str, str]:
    """The DAG files to compile, each with the hash over the files that can affect it."""
    now = {file: tree.hash(without=project.unrelated_files(tree, file)) for file in project.dag_files}
    return {file: value for file, value in now.items() if hashes.get(file) != value}


def as_compile_error(error: LeoflowError, project: Project, file: str = "") -> CompileError:
    """Turn what hinders a project, such as dependencies that cannot be installed, into an error of its file."""
    if isinstance(error, CompileError):
        return error
    name = file or (project.yaml_path.name if project.yaml_path else project.dag_files[0])
    what = f"{error.what}: {error.where}" if error.where else error.what
    return CompileError(what, root=project.root, file=name, rule="refused", hint=error.hint)


def _duplicate(project: Project, dag: CompiledDag, owner: Path) -> CompileError:
    return CompileError(
        f"dag_id {dag.spec.dag_id!r} is also defined in {owner}",
        root=project.root,
        file=dag.spec.source.path,
        line=dag.line,
        rule="duplicate-dag-id",
        hint="Give each DAG its own dag_id.",
    )
