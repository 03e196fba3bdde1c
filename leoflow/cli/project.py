"""`leoflow init`, `validate` and `compile`: a project on its own, without a server."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from leoflow.cli.output import Output, OutputOption, print_document, print_rows
from leoflow.cli.progress import progress
from leoflow.compiler import (
    CompiledDag,
    CompileError,
    Project,
    ProjectReport,
    SubprocessLoader,
    discover,
    duplicate_dag_ids,
    report_project,
)
from leoflow.compiler.compile import CompileOptions
from leoflow.compiler.errors import shown
from leoflow.compiler.image import Builder, build, find_builder, image_reference
from leoflow.compiler.scaffold import scaffold
from leoflow.config import Settings, load_settings
from leoflow.environments import Progress, ensure
from leoflow.errors import ExitCode, LeoflowError
from leoflow.spec import canonical_bytes

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


_COLUMNS = ("dag_id", "tasks", "schedule", "content_hash", "file")


class BuilderName(StrEnum):
    """What builds images."""

    DOCKER = "docker"
    PODMAN = "podman"


PathArgument = Annotated[Path, typer.Argument(help="A project, a directory of projects or DAG files, or one .py file.")]
ImageOption = Annotated[str | None, typer.Option(help="The image tasks run in.")]
DagVersionOption = Annotated[str | None, typer.Option(help="A label for this version.")]
BuilderOption = Annotated[BuilderName | None, typer.Option(help="What builds it; default: what is installed.")]


@app.command("init", epilog="Example: leoflow init my_dag")
def init(
    path: Annotated[Path, typer.Argument(help="The directory of the new project.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write a new project: leoflow.yaml and dag.py."""
    for file in scaffold(path, force=force):
        print(f"wrote {shown(file.absolute())}")
    print(f"run it: leoflow run {path}", file=sys.stderr)


@app.command("validate", epilog="Example: leoflow validate examples/etl_daily")
def validate(path: PathArgument = Path(), output: OutputOption = Output.TABLE) -> None:
    """Check a project without running its tasks: files, settings, DAGs."""
    reports = asyncio.run(_report(path, load_settings(), CompileOptions()))
    _print(_document(reports), output, _COLUMNS)
    fail_on_errors(reports)


@app.command("compile", epilog="Example: leoflow compile examples/etl_daily -o build")
def compile_(
    path: PathArgument = Path(),
    directory: Annotated[
        Path | None, typer.Option("-o", metavar="DIR", help="Where dag.json goes; default: the project.")
    ] = None,
    image: ImageOption = None,
    dag_version: DagVersionOption = None,
    build_: Annotated[bool, typer.Option("--build", help="Build the image.")] = False,
    push: Annotated[bool, typer.Option("--push", help="Build and push the image.")] = False,
    builder: BuilderOption = None,
    output: Annotated[Output, typer.Option("--output", help="table, json or yaml.", show_choices=False)] = Output.TABLE,
) -> None:
    """Write dag.json for each DAG, and build the image with --build or --push."""
    settings = load_settings()
    options = CompileOptions(image=image, dag_version=dag_version)
    program = find_builder(builder) if build_ or push else None
    reports = asyncio.run(compile_projects(path, settings, options, program, push=push))
    written = {} if _errors(reports) else _write(reports, directory)
    document = _document(reports)
    for dag in document["dags"]:
        dag["path"] = str(written[dag["dag_id"]]) if dag["dag_id"] in written else None
    _print(document, output, (*_COLUMNS, "path"))
    fail_on_errors(reports)


async def compile_projects(
    path: Path, settings: Settings, options: CompileOptions, builder: Builder | None, *, push: bool
) -> list[ProjectReport]:
    """Compile every project of a path; with a builder, build the image of each that has no error, and push it."""
    projects = discover(path)
    if builder is None:
        return await _report(path, settings, options)
    if options.image and len(projects) > 1:
        raise LeoflowError(
            "--image names one image",
            where=f"{len(projects)} projects",
            exit_code=ExitCode.USAGE,
            hint="Compile one project at a time, or give each a registry in leoflow.yaml.",
        )
    reports = []
    for project in projects:
        reports.append(await _compile_with_image(project, settings, options, builder, push=push))
    return _with_duplicates(reports)


async def _compile_with_image(
    project: Project, settings: Settings, options: CompileOptions, builder: Builder, *, push: bool
) -> ProjectReport:
    """Compile first: an image of a broken project is of no use."""
    tree = project.tree()
    reference = await image_reference(project, image=options.image, dag_version=options.dag_version, tree=tree)
    chosen = CompileOptions(image=reference, dag_version=options.dag_version, limits=options.limits)
    report = await _report_one(project, settings, chosen, _tell)
    if not report.errors:
        spec = project.environment
        await build(
            project,
            tree,
            reference,
            builder,
            constraints=spec.constraints(),
            requirements=spec.requirements,
            tell=_tell,
        )
        if push:
            await builder.run(["push", reference], cwd=project.root, reference=reference, tell=_tell)
    return report


async def _report(path: Path, settings: Settings, options: CompileOptions) -> list[ProjectReport]:
    projects = discover(path)
    with progress(f"compile {path}") as tell:
        reports = [await _report_one(project, settings, options, tell) for project in projects]
    return _with_duplicates(reports)


async def _report_one(project: Project, settings: Settings, options: CompileOptions, tell: Progress) -> ProjectReport:
    if project.error:
        return ProjectReport(project, (), (project.error,))
    environment = await ensure(project.environment, settings.home, tell)
    loader = SubprocessLoader(environment.python, home=settings.home / "airflow")
    return await report_project(project, loader, options=options)


def _with_duplicates(reports: list[ProjectReport]) -> list[ProjectReport]:
    """Add the errors of DAGs whose id another project has too."""
    twice = duplicate_dag_ids(dag for report in reports for dag in report.dags)
    by_root: dict[Path, list[CompileError]] = {}
    for error in twice:
        by_root.setdefault(error.root, []).append(error)
    return [
        ProjectReport(report.project, report.dags, (*report.errors, *by_root.pop(report.project.root, ())))
        for report in reports
    ]


def _write(reports: Iterable[ProjectReport], directory: Path | None) -> dict[str, Path]:
    """Write the specs; return dag_id → file."""
    dags = [dag for report in reports for dag in report.dags]
    counts = Counter(directory or dag.project.root for dag in dags)
    written = {}
    for dag in dags:
        target = directory or dag.project.root
        name = "dag.json" if counts[target] == 1 else f"{dag.spec.dag_id}.dag.json"
        try:
            target.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(canonical_bytes(dag.spec))
        except OSError as error:
            raise LeoflowError(
                f"cannot write: {error.strerror}", where=str(target / name), hint="Choose another directory with -o."
            ) from error
        written[dag.spec.dag_id] = target / name
    return written


def _errors(reports: Iterable[ProjectReport]) -> list[CompileError]:
    return [error for report in reports for error in report.errors]


def fail_on_errors(reports: list[ProjectReport]) -> None:
    """Print every error but the last, which is raised for the caller to print and to exit with."""
    errors = _errors(reports)
    for error in errors[:-1]:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
    if errors:
        raise errors[-1]


def _document(reports: list[ProjectReport]) -> dict[str, Any]:
    return {
        "valid": not _errors(reports),
        "dags": [_dag(dag) for report in reports for dag in report.dags],
        "errors": [
            {"file": shown(error.path), "line": error.line, "rule": error.rule, "what": error.what, "hint": error.hint}
            for error in _errors(reports)
        ],
    }


def _dag(dag: CompiledDag) -> dict[str, Any]:
    spec = dag.spec
    return {
        "dag_id": spec.dag_id,
        "file": shown(dag.project.root / spec.source.path),
        "schedule": spec.timetable_summary,
        "tasks": len(spec.tasks),
        "content_hash": spec.content_hash,
        "image": spec.image,
        "warnings": list(dag.warnings),
    }


def _print(document: dict[str, Any], output: Output, columns: tuple[str, ...]) -> None:
    for dag in document["dags"]:
        for warning in dag["warnings"]:
            print(f"warning: {dag['dag_id']}: {warning}", file=sys.stderr)
    if output is Output.TABLE:
        rows = [{**dag, "content_hash": dag["content_hash"][:12]} for dag in document["dags"]]
        print_rows(rows, output, columns=columns)
    else:
        print_document(document, output)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
