"""`leoflow dags`: list, show, pause, unpause, delete, versions."""

from typing import Annotated

import typer

from leoflow.cli.client import api
from leoflow.cli.options import LimitOption, YesOption, confirm
from leoflow.cli.output import Output, OutputOption, print_rows, show
from leoflow.cli.servers import ServerOption, connect

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
DagId = Annotated[str, typer.Argument(help="The DAG.")]
COLUMNS = ("dag_id", "is_paused", "timetable_summary", "next_dagrun_run_after", "tags")


@app.command("list", epilog="Example: leoflow dags list --tag etl --output json")
def list_(
    tag: Annotated[list[str] | None, typer.Option(help="Only DAGs with one of these tags.")] = None,
    paused: Annotated[bool | None, typer.Option("--paused/--active", help="Only paused or active ones.")] = None,
    pattern: Annotated[str | None, typer.Option(help="Part of the dag_id.")] = None,
    limit: LimitOption = 1000,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List DAGs."""
    query = {"tags": tag, "paused": paused, "dag_id_pattern": pattern}
    rows = connect(server).listing(api("dags"), "dags", limit=limit, **query)
    if output is Output.TABLE:
        rows = [{**row, "tags": ", ".join(each["name"] for each in row["tags"])} for row in rows]
    print_rows(rows, output, columns=COLUMNS)


@app.command("show", epilog="Example: leoflow dags show etl_daily")
def show_(dag_id: DagId, server: ServerOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show everything about a DAG."""
    show(connect(server).get(api("dags", dag_id, "details")), output)


@app.command("pause", epilog="Example: leoflow dags pause etl_daily")
def pause(dag_id: DagId, server: ServerOption = None) -> None:
    """Pause a DAG: no further run starts."""
    connect(server).patch(api("dags", dag_id), {"is_paused": True})
    print(f"{dag_id} is paused")


@app.command("unpause", epilog="Example: leoflow dags unpause etl_daily")
def unpause(dag_id: DagId, server: ServerOption = None) -> None:
    """Let a DAG's runs start again."""
    connect(server).patch(api("dags", dag_id), {"is_paused": False})
    print(f"{dag_id} is active")


@app.command("delete", epilog="Example: leoflow dags delete etl_daily --yes")
def delete(dag_id: DagId, yes: YesOption = False, server: ServerOption = None) -> None:
    """Delete a DAG with its history; it comes back when its file is registered again."""
    confirm(f"Delete {dag_id} with all its runs, logs and XComs?", yes)
    connect(server).delete(api("dags", dag_id))
    print(f"{dag_id} is deleted")


@app.command("versions", epilog="Example: leoflow dags versions etl_daily")
def versions(
    dag_id: DagId, limit: LimitOption = 100, server: ServerOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the versions of a DAG, newest first."""
    path = api("dags", dag_id, "dagVersions")
    rows = connect(server).listing(path, "dag_versions", limit=limit, order_by="-version_number")
    print_rows(rows, output, columns=("version_number", "created_at", "id"))
