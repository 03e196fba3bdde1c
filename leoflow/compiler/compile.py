"""From a project to its specs: snapshot, load, overlay, check."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from leoflow.compiler.errors import CompileError
from leoflow.compiler.files import Tree, read_snapshot
from leoflow.compiler.loader import DagLoader, LoadedDag, LoadLimits, LoadRequest, LoadResult
from leoflow.compiler.overlay import apply_overlay, check_task_ids, choose_dags
from leoflow.compiler.project import Project
from leoflow.compiler.snapshot import snapshot
from leoflow.errors import LeoflowError
from leoflow.spec.canonical import check_storable, sha256
from leoflow.spec.dag_spec import DagSpec, canonical_bytes
from leoflow.storable import is_too_deep

MAX_DAG_FILE_BYTES = 10 << 20
MAX_SPEC_BYTES = 100 << 20

DEADLINE_REFERENCES = frozenset(
    {"AverageRuntimeDeadline", "DagRunLogicalDateDeadline", "DagRunQueuedAtDeadline", "FixedDatetimeDeadline"}
)
"""What `leoflow_core.open_deadlines` knows; others are code that asks Airflow's own database."""


@dataclass(frozen=True, slots=True)
class CompiledDag:
    """One DAG, ready to be registered."""

    spec: DagSpec
    project: Project
    bundle_path: Path | None
    """The directory attempts run from; none when no snapshot was asked for."""
    line: int | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    spawned_because: str | None = None
    """Why attempts of its file get an interpreter of their own; None when they are forked."""


@dataclass(frozen=True, slots=True)
class ProjectReport:
    """All that came out of a project: its good DAGs, and an error per broken file."""

    project: Project
    dags: tuple[CompiledDag, ...]
    errors: tuple[CompileError, ...]


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What the command line adds to a project."""

    image: str | None = None
    dag_version: str | None = None
    limits: LoadLimits = field(default_factory=LoadLimits)


async def compile_project(
    project: Project, loader: DagLoader, *, home: Path | None = None, options: CompileOptions = CompileOptions()
) -> list[CompiledDag]:
    """Compile every DAG of a project.

    Args:
        project: from `discover`.
        loader: where user code runs.
        home: when given, sources are snapshot to `home/bundles` first and loaded from there.
        options: image, version label, limits.

    Raises:
        CompileError: the first thing that is wrong.
    """
    report = await report_project(project, loader, home=home, options=options)
    if report.errors:
        raise report.errors[0]
    return list(report.dags)


async def report_project(
    project: Project, loader: DagLoader, *, home: Path | None = None, options: CompileOptions = CompileOptions()
) -> ProjectReport:
    """Compile what can be compiled; a broken file does not keep the others from it."""
    dags: list[CompiledDag] = []
    errors: list[CompileError] = []
    if project.error:
        return ProjectReport(project, (), (project.error,))
    try:
        tree = await asyncio.to_thread(_read, project, home)
    except CompileError as error:
        return ProjectReport(project, (), (error,))
    workers = asyncio.Semaphore(os.cpu_count() or 1)

    async def compile_one(file: str) -> list[CompiledDag] | CompileError:
        async with workers:
            try:
                return await compile_file(
                    project, file, loader, tree=tree, snapshotted=home is not None, options=options
                )
            except CompileError as error:
                return error

    for outcome in await asyncio.gather(*(compile_one(file) for file in project.dag_files)):
        if isinstance(outcome, CompileError):
            errors.append(outcome)
        else:
            dags += outcome
    if not dags and not errors:
        errors.append(_no_dag(project, project.dag_files[0]))
    return ProjectReport(project, tuple(dags), tuple(errors))


def _read(project: Project, home: Path | None) -> Tree:
    return read_snapshot(snapshot(project, home)) if home else project.tree()


async def compile_file(
    project: Project,
    file: str,
    loader: DagLoader,
    *,
    tree: Tree,
    snapshotted: bool,
    options: CompileOptions = CompileOptions(),
) -> list[CompiledDag]:
    """Compile the DAGs of one file of `tree`."""
    if file.endswith(".zip"):
        raise CompileError(
            "DAGs packaged as a zip file are not supported",
            root=project.root,
            file=file,
            rule="zip",
            hint="Unpack it into a directory, or name it in .airflowignore.",
        )
    code = await asyncio.to_thread(_read_code, project, tree, file)
    request = LoadRequest(tree.root, file, project.root, options.limits)
    result = await loader.load(request)
    # Thousands of tasks take a second to check: the event loop has heartbeats to send meanwhile.
    return await asyncio.to_thread(_finish_all, project, tree, file, code, result, options, snapshotted)


def _finish_all(
    project: Project,
    tree: Tree,
    file: str,
    code: str,
    result: LoadResult,
    options: CompileOptions,
    snapshotted: bool,
) -> list[CompiledDag]:
    _check_unchanged(project, tree, file)
    if not result.dags and project.must_define_dags:
        raise _no_dag(project, file)
    chosen, warnings = choose_dags(project, result.dags) if result.dags else ([], [])
    check_task_ids(project, chosen)
    tree_hash = tree.hash(without=project.unrelated_files(tree, file))
    source = {"path": file, "tree_hash": tree_hash, "code": code}
    bundle = tree.root if snapshotted else None
    return [_finish(project, dag, source, options, bundle, (*warnings, *result.warnings), result) for dag in chosen]


def _finish(
    project: Project,
    dag: LoadedDag,
    source: dict[str, str],
    options: CompileOptions,
    bundle: Path | None,
    warnings: tuple[str, ...],
    result: LoadResult,
) -> CompiledDag:
    values = apply_overlay(project.config, dag)
    values.pop("source_path", None)
    values |= {"source": source, "image": options.image, "dag_version": options.dag_version}
    try:
        if is_too_deep(values):  # pydantic would give up with less of an explanation
            check_storable(values)
        spec = DagSpec.model_validate(values).with_content_hash()
        size = len(canonical_bytes(spec))
    except ValidationError as error:
        raise _invalid(project, dag, values, error) from None
    except LeoflowError as error:
        raise _unstorable(project, dag, values, error) from None
    place = dag.place or (source["path"], None)
    if size > MAX_SPEC_BYTES:
        raise CompileError(
            f"dag.json of {spec.dag_id!r} would be {size >> 20} MiB, the limit is {MAX_SPEC_BYTES >> 20}",
            root=project.root,
            file=place[0],
            line=place[1],
            rule="too-large",
            hint="Use fewer tasks, or .expand() over data.",
        )
    found = (*warnings, *_remarks(spec))
    reason = " and ".join(result.fork_hazards) or None
    return CompiledDag(spec, project, bundle, place[1], found, result.seconds, reason)


def _remarks(spec: DagSpec) -> list[str]:
    """Say what Leoflow records but does not act on, so that nobody finds out in production."""
    remarks = list(_remarks_on_schedule(spec))
    for task in spec.tasks:
        if "executor" in task.extra:
            remarks.append(f"task {task.task_id}: executor= is ignored, Leoflow has no Airflow executors")
        if task.extra.get("executor_config", {}).keys() - {"leoflow"}:
            remarks.append(f"task {task.task_id}: executor_config= is ignored, use `tasks` in leoflow.yaml")
        if "." in task.weight_rule:
            remarks.append(f"task {task.task_id}: custom weight_rule is ignored, its own priority_weight counts")
    return remarks[:50]


def _remarks_on_schedule(spec: DagSpec) -> Iterator[str]:
    for alert in spec.deadlines:
        reference = alert["reference"].get("reference_type")
        if reference not in DEADLINE_REFERENCES:
            yield f"deadline: the reference {reference} cannot be computed, this alert never comes"


def _read_code(project: Project, tree: Tree, file: str) -> str:
    path = tree.root / file
    try:
        size = path.stat().st_size
        if size > MAX_DAG_FILE_BYTES:
            raise CompileError(
                f"the DAG file is larger than {MAX_DAG_FILE_BYTES >> 20} MiB",
                root=project.root,
                file=file,
                rule="too-large",
                hint="Move data out of the code.",
            )
        data = path.read_bytes()
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise CompileError(
            "the DAG file is not UTF-8",
            root=project.root,
            file=file,
            line=line,
            rule="encoding",
            hint="Save the file as UTF-8.",
        ) from None
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        raise CompileError(
            "the DAG file is gone" if gone else f"the DAG file cannot be read: {error.strerror}",
            root=project.root,
            file=file,
            rule="file-missing" if gone else "unreadable",
            hint="Was it deleted meanwhile?" if gone else "Check its permissions.",
        ) from None


def _check_unchanged(project: Project, tree: Tree, file: str) -> None:
    before = tree.get(file)
    try:
        now = sha256((tree.root / file).read_bytes())
    except OSError:
        now = ""
    if before is None or before.sha256 != now:
        raise CompileError(
            "the DAG file changed while it was compiled",
            root=project.root,
            file=file,
            rule="changing",
            hint="Compile again.",
        )


def _no_dag(project: Project, file: str) -> CompileError:
    return CompileError(
        "no DAG in the file",
        root=project.root,
        file=file,
        rule="no-dag",
        hint="Define one with `with DAG(...)`, or call your @dag function at module level.",
    )


def _place_of(dag: LoadedDag, values: dict[str, Any], path: tuple[Any, ...]) -> tuple[str, int | None, str]:
    """Return file, line and a readable name for a place in the description."""
    if len(path) > 1 and path[0] == "tasks":
        task_id = values["tasks"][int(path[1])]["task_id"]
        file, line = dag.task_places.get(task_id) or dag.place or (values["source"]["path"], None)
        return file, line, f"task {task_id!r}: {'.'.join(str(part) for part in path[2:])}"
    file, line = dag.place or (values["source"]["path"], None)
    return file, line, ".".join(str(part) for part in path)


def _invalid(project: Project, dag: LoadedDag, values: dict[str, Any], error: ValidationError) -> CompileError:
    problem = error.errors()[0]
    file, line, name = _place_of(dag, values, problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return CompileError(
        f"{name}: {message}" if name else message,
        root=project.root,
        file=file,
        line=line,
        rule="invalid-value",
        hint=f"The value is {str(problem['input'])[:100]!r}." if name else "",
    )


def _unstorable(project: Project, dag: LoadedDag, values: dict[str, Any], error: LeoflowError) -> CompileError:
    path = tuple(error.where.removeprefix("$.").split("."))
    file, line, name = _place_of(dag, values, path)
    return CompileError(
        f"{name}: {error.what}", root=project.root, file=file, line=line, rule="not-json", hint=error.hint
    )
