"""`leoflow deploy`: from sources to a registered version, in one command."""

import asyncio
import json
import sys
from typing import Annotated, Any

import typer

from leoflow.cli.client import Client, api
from leoflow.cli.output import Output, OutputOption, print_rows
from leoflow.cli.project import (
    BuilderOption,
    DagVersionOption,
    ImageOption,
    PathArgument,
    compile_projects,
    fail_on_errors,
)
from leoflow.cli.push import COLUMNS, register
from leoflow.cli.runs import fail_unless_success, refuse_to_wait_if_paused, wait_for_end
from leoflow.cli.servers import ServerOption, connect
from leoflow.compiler.compile import CompileOptions
from leoflow.compiler.image import find_builder
from leoflow.config import load_settings
from leoflow.errors import ExitCode, LeoflowError
from leoflow.spec import canonical_bytes

app = typer.Typer(rich_markup_mode=None)


@app.command("deploy", epilog="Example: leoflow deploy etl --trigger --wait")
def deploy(
    path: PathArgument,
    image: ImageOption = None,
    dag_version: DagVersionOption = None,
    builder: BuilderOption = None,
    unpause: Annotated[bool, typer.Option("--unpause", help="Unpause the DAGs; new ones are paused.")] = False,
    trigger: Annotated[bool, typer.Option("--trigger", help="Run each DAG once.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for these runs; exit 1 when one fails.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds to wait; exit 3 when they are over.")] = None,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compile, build and push the image, register the version, optionally run it.

    Nothing is registered before every project is compiled and every image is pushed.
    """
    if wait and not trigger:
        raise LeoflowError("--wait waits for a run", exit_code=ExitCode.USAGE, hint="Add --trigger.")
    client = connect(server)
    client.get(api("version"))
    options = CompileOptions(image=image, dag_version=dag_version)
    reports = asyncio.run(compile_projects(path, load_settings(), options, find_builder(builder), push=True))
    fail_on_errors(reports)
    specs = [json.loads(canonical_bytes(dag.spec)) for report in reports for dag in report.dags]
    rows = [register(client, spec) for spec in specs]
    if unpause:
        for row in rows:
            client.patch(api("dags", row["dag_id"]), {"is_paused": False})
    if trigger:
        rows = _run(client, rows, timeout, wait=wait)
    print_rows(rows, output, columns=(*COLUMNS, "dag_run_id", "state") if trigger else COLUMNS)
    if wait:
        for row in rows:
            fail_unless_success(row)


def _run(client: Client, rows: list[dict[str, Any]], timeout: float | None, *, wait: bool) -> list[dict[str, Any]]:
    """Trigger all, then wait for all, so that they run side by side."""
    if wait:
        for row in rows:
            refuse_to_wait_if_paused(client, row["dag_id"])
    runs = [client.post(api("dags", row["dag_id"], "dagRuns"), {"logical_date": None}) for row in rows]
    for run in runs:
        print(f"triggered {run['dag_id']} {run['dag_run_id']}", file=sys.stderr)
    if wait:
        runs = [wait_for_end(client, run, timeout) for run in runs]
    return [
        {**row, "dag_run_id": run["dag_run_id"], "state": run["state"]} for row, run in zip(rows, runs, strict=True)
    ]
