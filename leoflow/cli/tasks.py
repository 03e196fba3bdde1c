"""`leoflow tasks`: list, states, clear, mark, note, logs."""

from typing import Annotated, Any

import typer

from leoflow.cli.client import api
from leoflow.cli.dags import DagId
from leoflow.cli.options import DryRunOption, LimitOption, read_moment, read_tasks, usage
from leoflow.cli.output import Output, OutputOption, print_rows
from leoflow.cli.runs import INSTANCE_COLUMNS, RunId, run_path
from leoflow.cli.servers import ServerOption, connect

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
Upstream = Annotated[bool, typer.Option("--upstream", help="With everything before them.")]
Downstream = Annotated[bool, typer.Option("--downstream", help="With everything after them.")]
Past = Annotated[bool, typer.Option("--past", help="Also in earlier runs.")]
Future = Annotated[bool, typer.Option("--future", help="Also in later runs.")]
TaskId = Annotated[str, typer.Argument(help="The task: task_id or task_id[map_index].")]


@app.command("list", epilog="Example: leoflow tasks list etl_daily")
def list_(dag_id: DagId, server: ServerOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the tasks of a DAG."""
    rows = connect(server).get(api("dags", dag_id, "tasks"))["tasks"]
    print_rows(rows, output, columns=("task_id", "operator_name", "trigger_rule", "retries", "pool", "queue"))


@app.command("states", epilog="Example: leoflow tasks states etl_daily scheduled__2026-01-01T06:00:00+00:00")
def states(
    dag_id: DagId,
    run_id: RunId,
    state: Annotated[list[str] | None, typer.Option(help="Only these states.")] = None,
    limit: LimitOption = 10_000,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the task instances of a run with their states."""
    path = f"{run_path(dag_id, run_id)}/taskInstances"
    rows = connect(server).listing(path, "task_instances", limit=limit, state=state)
    print_rows(rows, output, columns=("task_id", "map_index", "state", "try_number", "start_date", "duration"))


@app.command(
    "clear",
    epilog="Example: leoflow tasks clear etl_daily --run scheduled__2026-01-01T06:00:00+00:00 load --downstream",
)
def clear(
    dag_id: DagId,
    tasks: Annotated[list[str] | None, typer.Argument(help="task_id or task_id[map_index]; default: all.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="The run; default: all between --start and --end.")] = None,
    start: Annotated[str | None, typer.Option(help="First logical date, without --run.")] = None,
    end: Annotated[str | None, typer.Option(help="Last logical date, without --run.")] = None,
    upstream: Upstream = False,
    downstream: Downstream = False,
    past: Past = False,
    future: Future = False,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Only failed ones.")] = False,
    only_running: Annotated[bool, typer.Option("--only-running", help="Only running ones.")] = False,
    keep_runs: Annotated[bool, typer.Option("--keep-runs", help="Leave finished runs as they are.")] = False,
    latest: Annotated[bool, typer.Option("--latest-version", help="Move the runs to the latest version.")] = False,
    prevent_running: Annotated[bool, typer.Option("--prevent-running", help="Refuse when one of them runs.")] = False,
    dry_run: DryRunOption = False,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run task instances again; running ones are told to stop."""
    if run is None and start is None and end is None:
        raise usage("which runs?", f"tasks clear {dag_id}", "name one with --run, or a range with --start and --end")
    body: dict[str, Any] = {
        "dry_run": dry_run,
        "task_ids": read_tasks(tasks),
        "dag_run_id": run,
        "start_date": read_moment(start, "--start"),
        "end_date": read_moment(end, "--end"),
        "include_upstream": upstream,
        "include_downstream": downstream,
        "include_past": past,
        "include_future": future,
        "only_failed": only_failed,
        "only_running": only_running,
        "reset_dag_runs": not keep_runs,
        "run_on_latest_version": latest,
        "prevent_running_task": prevent_running,
    }
    found = connect(server).post(api("dags", dag_id, "clearTaskInstances"), body)
    print_rows(found["task_instances"], output, columns=INSTANCE_COLUMNS)


@app.command("mark", epilog="Example: leoflow tasks mark etl_daily manual__2026-01-01T00:00:00+00:00 check success")
def mark(
    dag_id: DagId,
    run_id: RunId,
    task: TaskId,
    state: Annotated[str, typer.Argument(help="success, failed or skipped.")],
    upstream: Upstream = False,
    downstream: Downstream = False,
    past: Past = False,
    future: Future = False,
    dry_run: DryRunOption = False,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Set the state of task instances."""
    if state not in ("success", "failed", "skipped"):
        raise usage("not a state a task can be marked as", state, "success, failed or skipped")
    body = {
        "new_state": state,
        "include_upstream": upstream,
        "include_downstream": downstream,
        "include_past": past,
        "include_future": future,
    }
    path = _instance(dag_id, run_id, task)
    found = connect(server).patch(f"{path}/dry_run" if dry_run else path, body)
    print_rows(found["task_instances"], output, columns=INSTANCE_COLUMNS)


@app.command(
    "note", epilog="Example: leoflow tasks note etl_daily manual__2026-01-01T00:00:00+00:00 load 'see ticket 7'"
)
def note(
    dag_id: DagId,
    run_id: RunId,
    task: TaskId,
    text: Annotated[str, typer.Argument(help="The note.")],
    server: ServerOption = None,
) -> None:
    """Write a note on a task instance."""
    connect(server).patch(_instance(dag_id, run_id, task), {"note": text})
    print(f"{task} has the note")


@app.command("logs", epilog="Example: leoflow tasks logs etl_daily manual__2026-01-01T00:00:00+00:00 load --try 1")
def logs(
    dag_id: DagId,
    run_id: RunId,
    task: TaskId,
    try_number: Annotated[int | None, typer.Option("--try", min=1, help="One try; default: the last.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task is over.")] = False,
    server: ServerOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the log of a task."""
    from leoflow.cli.follow import print_logs

    print_logs(connect(server), dag_id, run_id, task, try_number, follow=follow, as_json=output is Output.JSON)


def _instance(dag_id: str, run_id: str, task: str) -> str:
    (one,) = read_tasks([task]) or [task]
    parts = [one] if isinstance(one, str) else [one[0], str(one[1])]
    return run_path(dag_id, run_id) + api("taskInstances", *parts).removeprefix("/api/v2")
