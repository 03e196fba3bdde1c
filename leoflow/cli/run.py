"""`leoflow run`: one DAG run to its end, without a server."""

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leoflow.cli.log_text import text_of
from leoflow.cli.output import Output
from leoflow.storable import find_flaw

if TYPE_CHECKING:
    from leoflow.lite.once import Instance, Result
    from leoflow.scheduler.callbacks import CallbackResult

app = typer.Typer(rich_markup_mode=None)

INTERRUPTED = 130
MARKS = {"success": "✓", "failed": "✗", "upstream_failed": "✗", "skipped": "-", "up_for_retry": "↻", "running": "▸"}
QUIET_STATES = frozenset({None, "scheduled", "queued"})


@app.command(epilog="Example: leoflow run examples/etl_daily --output json")
def run(
    path: Annotated[Path, typer.Argument(help="A project, a workspace, a folder of DAG files, or one .py file.")],
    dag_id: Annotated[str | None, typer.Option(help="Which DAG, when PATH has more than one.")] = None,
    conf: Annotated[str | None, typer.Option(help="The run's conf, a JSON object.")] = None,
    logical_date: Annotated[str | None, typer.Option(help="ISO 8601; without an offset it is UTC.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for the end; then exit code 3.", min=0)] = None,
    database_url: Annotated[str | None, typer.Option(help="Use this database, not a throw-away one.")] = None,
    slots: Annotated[int | None, typer.Option(help="Attempts that run at the same time.", min=1)] = None,
    home: Annotated[Path | None, typer.Option(help="Where environments are kept; default $LEOFLOW_HOME.")] = None,
    logs: Annotated[bool, typer.Option("--logs", help="Show the tasks' logs on stderr.")] = False,
    output: Annotated[Output | None, typer.Option("--output", "-o", help="table, json or yaml.")] = None,
) -> None:
    """Run one DAG run to the end with the Lite engine; exit code 0 success, 1 failed, 3 timed out."""
    from leoflow.cli.logs import configure_logging, debugging
    from leoflow.config import load_settings
    from leoflow.errors import ExitCode
    from leoflow.lite.once import Request, run_once

    configure_logging(debug=debugging(), quiet=not debugging())
    settings = load_settings(home=home, database_url=database_url, slots=slots)
    request = Request(path, dag_id, _conf(conf), _moment(logical_date), timeout)
    result = asyncio.run(run_once(settings, request, RunTerminal(logs)))
    if result is None:
        raise typer.Exit(INTERRUPTED)
    _print(result, output or (Output.TABLE if sys.stdout.isatty() else Output.JSON))
    if result.timed_out:
        print(f"error: the run did not end within {timeout:g} s", file=sys.stderr)
        raise typer.Exit(ExitCode.TIMED_OUT)
    raise typer.Exit(ExitCode.OK if result.state == "success" else ExitCode.FAILED)


class RunTerminal:
    """Live progress on stderr. Implements `leoflow.lite.once.Watcher`."""

    def __init__(self, logs: bool) -> None:
        self.wants_logs = logs
        self._total = 0
        self._done: set[str] = set()

    def step(self, text: str, /) -> None:
        """Something that may take a while begins."""
        self._say(f"  {text} …")

    def warning(self, text: str) -> None:
        """Something that does not stop the run."""
        self._say(f"warning: {text}")

    def started(self, dag_id: str, run_id: str, total: int) -> None:
        """The run exists."""
        self._total = total
        self._say(f"{dag_id} {run_id}: {total} task{'s' if total != 1 else ''}")

    def changed(self, instance: "Instance") -> None:
        """One line per state a person cares about."""
        if instance.state in QUIET_STATES or (instance.state == "running" and not sys.stderr.isatty()):
            return
        if instance.end_date is not None:
            self._done.add(instance.label)
        self._total = max(self._total, len(self._done))
        took = f" {instance.duration:.2f} s" if instance.duration is not None else ""
        retry = f" (try {instance.try_number})" if instance.try_number > 1 else ""
        mark = MARKS.get(str(instance.state), "·")
        self._say(f"{mark} [{len(self._done)}/{self._total}] {instance.label} {instance.state}{took}{retry}")

    def log_lines(self, task_id: str, map_index: int, lines: Sequence[str]) -> None:
        """A task's log, each line with its task in front."""
        label = task_id if map_index < 0 else f"{task_id}[{map_index}]"
        for line in lines:
            self._say(f"[{label}] {_plain(line)}")

    def called_back(self, done: "CallbackResult") -> None:
        """What a callback did; its output with the logs, or when it failed."""
        self._say(f"{done.request.name}: {done.result}{f' ({done.error})' if done.error else ''}")
        if self.wants_logs or done.result != "success":
            for line in done.output.splitlines():
                self._say(f"[{done.request.name}] {line}")

    def stopping(self) -> None:
        """Ctrl-C arrived."""
        self._say("\nstopping; Ctrl-C again stops at once")

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _plain(line: str) -> str:
    """A structured log line as text."""
    try:
        record = json.loads(line)
        return f"{record['timestamp']} {record.get('level', 'info').upper()} - {text_of(record)}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return line


def _print(result: "Result", output: Output) -> None:
    from leoflow.cli.output import print_document, print_rows

    tasks = [
        {
            "task_id": each.task_id,
            "map_index": each.map_index,
            "state": each.state,
            "try_number": each.try_number,
            "start_date": each.start_date and each.start_date.isoformat(),
            "end_date": each.end_date and each.end_date.isoformat(),
            "duration": each.duration,
        }
        for each in result.tasks
    ]
    if output is Output.TABLE:
        print_rows(tasks, output)
        for label, value in result.xcoms.items():
            print(f"{label} = {_short(value)}")
        print(f"{result.dag_id} {result.run_id}: {result.state} in {result.duration_seconds:.2f} s")
        return
    document = {
        "dag_id": result.dag_id,
        "run_id": result.run_id,
        "state": result.state,
        "duration_seconds": result.duration_seconds,
        "tasks": tasks,
        "xcoms": result.xcoms,
    }
    print_document(document, output)


def _short(value: Any, limit: int = 200) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[:limit]}…"


def _conf(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        conf = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"not valid JSON ({error})", param_hint="--conf") from error
    if not isinstance(conf, dict):
        raise typer.BadParameter("not a JSON object", param_hint="--conf")
    if flaw := find_flaw(conf):
        raise typer.BadParameter(str(flaw), param_hint="--conf")
    return conf


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"not a date in ISO 8601 ({error})", param_hint="--logical-date") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
