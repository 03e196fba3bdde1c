"""Prints the logs of a run's tasks, one after the other or, followed, as their lines come."""

import json
import sys
import time
from dataclasses import dataclass
from typing import Any

from leoflow.cli.client import Client, ServerRefusedError, api
from leoflow.cli.log_text import text_of
from leoflow.cli.options import read_tasks
from leoflow.errors import LeoflowError

POLL_SECONDS = 0.7
_OVER = ("success", "failed")
_HEADING = ("::group::Log message", "::endgroup::", "leoflow.task_logs,")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one instance."""

    task_id: str
    map_index: int
    try_number: int

    @property
    def label(self) -> str:
        """How its lines are marked."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


class LogPrinter:
    """Reads the logs of a run's attempts from where it stopped the last time."""

    def __init__(self, client: Client, dag_id: str, run_id: str, *, as_json: bool) -> None:
        self._client = client
        self._path = api("dags", dag_id, "dagRuns", run_id)
        self._as_json = as_json
        self._tokens: dict[Attempt, str | None] = {}
        self._done: set[Attempt] = set()

    def run_state(self) -> str:
        """The state of the run."""
        return str(self._client.get(self._path)["state"])

    def instances(self, task: list[Any] | str | None) -> list[dict[str, Any]]:
        """The run's instances, or those of one task."""
        rows = self._client.listing(f"{self._path}/taskInstances", "task_instances", limit=100_000)
        if task is None:
            return rows
        name, index = (task, None) if isinstance(task, str) else (task[0], task[1])
        chosen = [row for row in rows if row["task_id"] == name and index in (None, row["map_index"])]
        if not chosen:
            raise LeoflowError("the run has no such task", where=name, hint="`leoflow tasks states` lists its tasks")
        return chosen

    def attempts(self, rows: list[dict[str, Any]], try_number: int | None, *, earlier: bool) -> list[Attempt]:
        """The attempts to print: one try, the last, or with `earlier` all that were not printed yet."""
        found = []
        for row in rows:
            last = row["try_number"]
            tries = [try_number] if try_number else range(1 if earlier else last, last + 1)
            found += [Attempt(row["task_id"], row["map_index"], number) for number in tries if 0 < number <= last]
        return [one for one in found if one not in self._done]

    def print_new(self, attempt: Attempt, *, labelled: bool) -> None:
        """Print what came since the last time."""
        path = f"{self._path}/taskInstances/{attempt.task_id}/logs/{attempt.try_number}"
        try:
            lines, token = self._client.lines(path, map_index=attempt.map_index, token=self._tokens.get(attempt))
        except ServerRefusedError as error:
            if error.status == 404:  # the try is only about to begin
                return
            raise
        for line in lines:
            if not str(line.get("event", "")).startswith(_HEADING):
                self._print(attempt, line, labelled=labelled)
        if token is None:
            self._done.add(attempt)
        else:
            self._tokens[attempt] = token

    def _print(self, attempt: Attempt, line: dict[str, Any], *, labelled: bool) -> None:
        if self._as_json:
            where = {"task_id": attempt.task_id, "map_index": attempt.map_index, "try_number": attempt.try_number}
            print(json.dumps({**where, **line}, ensure_ascii=False))
            return
        moment = str(line.get("timestamp") or "")[11:23]
        level = str(line.get("level") or "").upper()
        parts = [moment, f"{level:<7}" if level else "", f"{attempt.label} |" if labelled else "", text_of(line)]
        print(" ".join(part for part in parts if part))


def print_logs(
    client: Client, dag_id: str, run_id: str, task: str | None, try_number: int | None, *, follow: bool, as_json: bool
) -> None:
    """Print the logs of a run, or of one of its tasks; with `follow` until its end and that of its logs."""
    printer = LogPrinter(client, dag_id, run_id, as_json=as_json)
    chosen = (read_tasks([task]) or [None])[0] if task else None
    while True:
        over = printer.run_state() in _OVER
        rows = printer.instances(chosen)
        if chosen is not None and all(_is_over(row) for row in rows):
            over = True
        for attempt in printer.attempts(rows, try_number, earlier=follow):
            printer.print_new(attempt, labelled=len(rows) > 1)
        sys.stdout.flush()
        ended = [row for row in rows if _is_over(row)]
        if not follow or (over and not printer.attempts(ended, try_number, earlier=True)):
            return
        time.sleep(POLL_SECONDS)


def _is_over(row: dict[str, Any]) -> bool:
    return row["state"] in ("success", "failed", "skipped", "upstream_failed", "removed")
