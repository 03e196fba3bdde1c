"""`leoflow assets`: list, show, events, materialize."""

from typing import Annotated

import typer

from leoflow.cli.client import Client, api
from leoflow.cli.options import LimitOption
from leoflow.cli.output import Output, OutputOption, print_rows, show
from leoflow.cli.runs import COLUMNS as RUN_COLUMNS
from leoflow.cli.servers import ServerOption, connect
from leoflow.errors import LeoflowError

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
Asset = Annotated[str, typer.Argument(help="The asset: its name, URI or id.")]


@app.command("list", epilog="Example: leoflow assets list")
def list_(limit: LimitOption = 1000, server: ServerOption = None, output: OutputOption = Output.TABLE) -> None:
    """List assets."""
    rows = connect(server).listing(api("assets"), "assets", limit=limit)
    print_rows(rows, output, columns=("id", "name", "uri", "group", "created_at"))


@app.command("show", epilog="Example: leoflow assets show s3://bucket/orders")
def show_(asset: Asset, server: ServerOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show an asset with the DAGs and tasks that use it."""
    client = connect(server)
    show(client.get(api("assets", find(client, asset))), output)


@app.command("events", epilog="Example: leoflow assets events orders --limit 10")
def events(
    asset: Annotated[str | None, typer.Argument(help="The asset; default: all.")] = None,
    limit: LimitOption = 25,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List asset events, newest first."""
    client = connect(server)
    key = find(client, asset) if asset else None
    rows = client.listing(api("assets", "events"), "asset_events", limit=limit, asset_id=key, order_by="-timestamp")
    print_rows(rows, output, columns=("timestamp", "uri", "source_dag_id", "source_task_id", "source_run_id", "extra"))


@app.command("materialize", epilog="Example: leoflow assets materialize orders")
def materialize(asset: Asset, server: ServerOption = None, output: OutputOption = Output.TABLE) -> None:
    """Trigger a run of the DAG that makes an asset."""
    client = connect(server)
    run = client.post(api("assets", find(client, asset), "materialize"), {})
    print_rows([run], output, columns=RUN_COLUMNS) if output is Output.TABLE else show(run, output)


def find(client: Client, asset: str) -> str:
    """The id of an asset given by id, name or URI.

    Raises:
        LeoflowError: there is none.
    """
    if asset.isdigit():
        return asset
    for row in client.listing(api("assets"), "assets", limit=100_000):
        if asset in (row["name"], row["uri"]):
            return str(row["id"])
    raise LeoflowError("there is no such asset", where=asset, hint="`leoflow assets list` shows what there is")
