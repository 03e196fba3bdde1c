"""`leoflow backfill`: create, list, show, pause, unpause, cancel."""

from typing import Annotated, Any

import typer

from leoflow.cli.client import api
from leoflow.cli.dags import DagId
from leoflow.cli.options import DryRunOption, LimitOption, read_moment, read_object, usage
from leoflow.cli.output import Output, OutputOption, print_document, print_rows, show
from leoflow.cli.servers import ServerOption, connect

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
Key = Annotated[int, typer.Argument(min=0, help="The backfill's id.")]
RUN_COLUMNS = ("logical_date", "partition_key", "dag_run_id", "state", "exception_reason")
COLUMNS = ("id", "dag_id", "from_date", "to_date", "reprocess_behavior", "max_active_runs", "is_paused", "completed_at")


@app.command(
    "create", epilog="Example: leoflow backfill create etl_daily --from 2026-01-01 --to 2026-01-31 --reprocess failed"
)
def create(
    dag_id: DagId,
    from_date: Annotated[str, typer.Option("--from", help="First date.")],
    to_date: Annotated[str, typer.Option("--to", help="Last date.")],
    reprocess: Annotated[str, typer.Option(help="Dates that have a run: none, failed or completed.")] = "none",
    max_active_runs: Annotated[int, typer.Option(min=1, help="Runs at once.")] = 10,
    backwards: Annotated[bool, typer.Option("--backwards", help="Newest date first.")] = False,
    conf: Annotated[str | None, typer.Option(help="The runs' conf, a JSON object.")] = None,
    own_version: Annotated[bool, typer.Option("--own-version", help="Repeated runs keep their version.")] = False,
    dry_run: DryRunOption = False,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make the runs of a schedule in a range of dates."""
    if reprocess not in ("none", "failed", "completed"):
        raise usage("not a reprocess behaviour", f"--reprocess {reprocess}", "none, failed or completed")
    body: dict[str, Any] = {
        "dag_id": dag_id,
        "from_date": read_moment(from_date, "--from"),
        "to_date": read_moment(to_date, "--to"),
        "reprocess_behavior": reprocess,
        "max_active_runs": max_active_runs,
        "run_backwards": backwards,
        "dag_run_conf": read_object(conf, "--conf"),
        "run_on_latest_version": not own_version,
    }
    client = connect(server)
    if dry_run:
        print_rows(
            client.post(api("backfills", "dry_run"), body)["backfills"],
            output,
            columns=("logical_date", "partition_key"),
        )
    else:
        _print_one(client.post(api("backfills"), body), output)


@app.command("list", epilog="Example: leoflow backfill list etl_daily")
def list_(
    dag_id: DagId, limit: LimitOption = 100, server: ServerOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the backfills of a DAG, newest first."""
    rows = connect(server).listing(api("backfills"), "backfills", limit=limit, dag_id=dag_id, order_by="-id")
    print_rows(rows, output, columns=COLUMNS)


@app.command("show", epilog="Example: leoflow backfill show 7")
def show_(key: Key, server: ServerOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show a backfill with its dates: the run of each, or why there is none."""
    client = connect(server)
    backfill = client.get(api("backfills", str(key)))
    runs = client.get(api("leoflow", "backfills", str(key), "runs"))["runs"]
    if output is Output.TABLE:
        show(backfill, output)
        print_rows(runs, output, columns=RUN_COLUMNS)
    else:
        print_document({**backfill, "runs": runs}, output)


@app.command("pause", epilog="Example: leoflow backfill pause 7")
def pause(key: Key, server: ServerOption = None, output: OutputOption = Output.TABLE) -> None:
    """Start no further run of a backfill."""
    _print_one(connect(server).put(api("backfills", str(key), "pause")), output)


@app.command("unpause", epilog="Example: leoflow backfill unpause 7")
def unpause(key: Key, server: ServerOption = None, output: OutputOption = Output.TABLE) -> None:
    """Go on with a backfill."""
    _print_one(connect(server).put(api("backfills", str(key), "unpause")), output)


@app.command("cancel", epilog="Example: leoflow backfill cancel 7")
def cancel(key: Key, server: ServerOption = None, output: OutputOption = Output.TABLE) -> None:
    """Cancel a backfill: queued runs fail, running ones go on."""
    _print_one(connect(server).put(api("backfills", str(key), "cancel")), output)


def _print_one(backfill: dict[str, Any], output: Output) -> None:
    if output is Output.TABLE:
        print_rows([backfill], output, columns=COLUMNS)
    else:
        show(backfill, output)
