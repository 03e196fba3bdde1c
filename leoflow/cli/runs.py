"""`leoflow runs`: list, show, trigger, cancel, clear, set a state, delete, note, logs."""

import time
from typing import Annotated, Any

import typer

from leoflow.cli.client import Client, api
from leoflow.cli.dags import DagId
from leoflow.cli.options import DryRunOption, LimitOption, YesOption, confirm, read_moment, read_object, usage
from leoflow.cli.output import Output, OutputOption, print_rows, show
from leoflow.cli.servers import ServerOption, connect
from leoflow.errors import ExitCode, LeoflowError

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
RunId = Annotated[str, typer.Argument(help="The run.")]
COLUMNS = ("dag_id", "dag_run_id", "state", "run_type", "logical_date", "start_date", "duration")
INSTANCE_COLUMNS = ("dag_run_id", "task_id", "map_index", "state", "try_number")
POLL_SECONDS = 0.5


@app.command("list", epilog="Example: leoflow runs list etl_daily --state failed --limit 10")
def list_(
    dag_id: Annotated[str, typer.Argument(help="The DAG; ~ for all.")] = "~",
    state: Annotated[list[str] | None, typer.Option(help="queued, running, success or failed.")] = None,
    limit: LimitOption = 25,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List runs, newest first."""
    path = api("dags", dag_id, "dagRuns")
    rows = connect(server).listing(path, "dag_runs", limit=limit, state=state, order_by="-run_after")
    print_rows(rows, output, columns=COLUMNS)


@app.command("show", epilog="Example: leoflow runs show etl_daily manual__2026-01-01T00:00:00+00:00")
def show_(dag_id: DagId, run_id: RunId, server: ServerOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show a run."""
    show(connect(server).get(run_path(dag_id, run_id)), output)


@app.command("trigger", epilog="""Example: leoflow runs trigger etl_daily --conf '{"day": "2026-01-01"}' --wait""")
def trigger(
    dag_id: DagId,
    conf: Annotated[str | None, typer.Option(help="The run's conf, a JSON object.")] = None,
    logical_date: Annotated[str | None, typer.Option(help="The run's logical date.")] = None,
    run_id: Annotated[str | None, typer.Option(help="Its id; default: made up.")] = None,
    note: Annotated[str | None, typer.Option(help="A note.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; exit 1 when it fails.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds to wait; exit 3 when they are over.")] = None,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Trigger a run."""
    client = connect(server)
    if wait:
        refuse_to_wait_if_paused(client, dag_id)
    body: dict[str, Any] = {
        "logical_date": read_moment(logical_date, "--logical-date"),
        "dag_run_id": run_id,
        "conf": read_object(conf, "--conf"),
        "note": note,
    }
    run = client.post(api("dags", dag_id, "dagRuns"), body)
    if wait:
        run = wait_for_end(client, run, timeout)
    print_rows([run], output, columns=COLUMNS) if output is Output.TABLE else show(run, output)
    if wait:
        fail_unless_success(run)


@app.command("cancel", epilog="Example: leoflow runs cancel etl_daily manual__2026-01-01T00:00:00+00:00")
def cancel(dag_id: DagId, run_id: RunId, server: ServerOption = None) -> None:
    """Cancel a run: it fails, running tasks are told to stop."""
    run = connect(server).patch(run_path(dag_id, run_id), {"state": "failed"})
    print(f"{run_id} is {run['state']}")


@app.command("set-state", epilog="Example: leoflow runs set-state etl_daily manual__2026-01-01T00:00:00+00:00 success")
def set_state(
    dag_id: DagId,
    run_id: RunId,
    state: Annotated[str, typer.Argument(help="success, failed or queued.")],
    server: ServerOption = None,
) -> None:
    """Set the state of a run."""
    if state not in ("success", "failed", "queued"):
        raise usage("not a state a run can be set to", state, "success, failed or queued")
    run = connect(server).patch(run_path(dag_id, run_id), {"state": state})
    print(f"{run_id} is {run['state']}")


@app.command("clear", epilog="Example: leoflow runs clear etl_daily scheduled__2026-01-01T06:00:00+00:00 --only-failed")
def clear(
    dag_id: DagId,
    run_id: RunId,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Only failed tasks.")] = False,
    only_new: Annotated[bool, typer.Option("--only-new", help="Only tasks of the latest version it lacks.")] = False,
    latest: Annotated[bool, typer.Option("--latest-version", help="Move the run to the latest version.")] = False,
    dry_run: DryRunOption = False,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run the tasks of a run again."""
    body = {"only_failed": only_failed, "only_new": only_new, "run_on_latest_version": latest, "dry_run": dry_run}
    found = connect(server).post(f"{run_path(dag_id, run_id)}/clear", body)
    if dry_run:
        print_rows(found["task_instances"], output, columns=INSTANCE_COLUMNS)
    elif output is Output.TABLE:
        print_rows([found], output, columns=COLUMNS)
    else:
        show(found, output)


@app.command("delete", epilog="Example: leoflow runs delete etl_daily manual__2026-01-01T00:00:00+00:00 --yes")
def delete(dag_id: DagId, run_id: RunId, yes: YesOption = False, server: ServerOption = None) -> None:
    """Delete a run with its logs and XComs."""
    confirm(f"Delete run {run_id} of {dag_id}?", yes)
    connect(server).delete(run_path(dag_id, run_id))
    print(f"{run_id} is deleted")


@app.command(
    "note", epilog="Example: leoflow runs note etl_daily manual__2026-01-01T00:00:00+00:00 'rerun for finance'"
)
def note_(
    dag_id: DagId,
    run_id: RunId,
    text: Annotated[str, typer.Argument(help="The note; empty to remove it.")],
    server: ServerOption = None,
) -> None:
    """Write a note on a run."""
    connect(server).patch(run_path(dag_id, run_id), {"note": text})
    print(f"{run_id} has {'the note' if text else 'no note'}")


@app.command("logs", epilog="Example: leoflow runs logs etl_daily manual__2026-01-01T00:00:00+00:00 -f")
def logs(
    dag_id: DagId,
    run_id: RunId,
    task: Annotated[str | None, typer.Option("--task", help="One task: task_id or task_id[map_index].")] = None,
    try_number: Annotated[int | None, typer.Option("--try", min=1, help="One try; default: the last.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the logs of a run's tasks as they come, or of one task."""
    from leoflow.cli.follow import print_logs

    print_logs(connect(server), dag_id, run_id, task, try_number, follow=follow, as_json=output is Output.JSON)


def run_path(dag_id: str, run_id: str) -> str:
    """The path of a run."""
    return api("dags", dag_id, "dagRuns", run_id)


def refuse_to_wait_if_paused(client: Client, dag_id: str) -> None:
    """Runs of a paused DAG stay queued, so a wait for one would have no end.

    Raises:
        LeoflowError: the DAG is paused.
    """
    if client.get(api("dags", dag_id))["is_paused"]:
        raise LeoflowError(
            "the DAG is paused, so its runs do not start",
            where=dag_id,
            hint=f"run `leoflow dags unpause {dag_id}` first, or leave out --wait",
        )


def fail_unless_success(run: dict[str, Any]) -> None:
    """End the command with exit code 1 when a run that is over did not succeed."""
    if run["state"] != "success":
        raise LeoflowError(
            f"the run ended as {run['state']}",
            where=f"{run['dag_id']} {run['dag_run_id']}",
            hint=f"see `leoflow runs logs {run['dag_id']} '{run['dag_run_id']}'`",
        )


def wait_for_end(client: Client, run: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    """Wait until a run is over and return it.

    Raises:
        LeoflowError: exit code 3, it was not over in time.
    """
    path = run_path(run["dag_id"], run["dag_run_id"])
    until = None if timeout is None else time.monotonic() + timeout
    while run["state"] in ("queued", "running"):
        if until is not None and time.monotonic() >= until:
            raise LeoflowError(
                f"the run is still {run['state']} after {timeout:g} s",
                where=f"{run['dag_id']} {run['dag_run_id']}",
                hint="it goes on; wait longer with --timeout, or cancel it with `leoflow runs cancel`",
                exit_code=ExitCode.TIMED_OUT,
            )
        time.sleep(POLL_SECONDS)
        run = client.get(path)
    return run
