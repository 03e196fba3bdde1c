"""Adds up task instances by task and by group, for the squares of the grid."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from leoflow.api.dag_graph import DagGraph
from leoflow.api.rows import Row

PRIORITY: tuple[str | None, ...] = (
    "failed",
    "upstream_failed",
    "up_for_retry",
    "up_for_reschedule",
    "queued",
    "scheduled",
    "deferred",
    "running",
    "restarting",
    None,
    "success",
    "skipped",
    "removed",
)
"""The state of several instances together is the first of these that one of them has (Airflow's order)."""


@dataclass(slots=True)
class Summary:
    """What several task instances add up to."""

    states: Counter[str | None] = field(default_factory=Counter)
    min_start_date: datetime | None = None
    max_end_date: datetime | None = None
    version_number: int | None = None

    def add(self, other: "Summary") -> None:
        """Take in another summary."""
        self.states.update(other.states)
        self.min_start_date = min(filter(None, (self.min_start_date, other.min_start_date)), default=None)
        self.max_end_date = max(filter(None, (self.max_end_date, other.max_end_date)), default=None)
        self.version_number = max(filter(None, (self.version_number, other.version_number)), default=None)

    def state(self) -> str | None:
        """Return the state of all together."""
        return next((state for state in PRIORITY if state in self.states), None)


def by_task(counted: Sequence[Row]) -> dict[str, Summary]:
    """Group rows of (task, state, count) by task."""
    summaries: dict[str, Summary] = {}
    for row in counted:
        summary = Summary(
            Counter({row["state"]: row["count"]}),
            row["min_start_date"],
            row["max_end_date"],
            row["version_number"],
        )
        summaries.setdefault(row["task_id"], Summary()).add(summary)
    return summaries


def task_instances(graph: DagGraph, counted: Sequence[Row]) -> list[dict[str, Any]]:
    """Return one entry per task and group: tasks in grid order, each group after its members."""
    summaries = by_task(counted)
    entries = [entry for entry, _ in _walk(graph, None, summaries)]
    listed = {entry["task_id"] for entry in entries}
    # Instances of tasks that the version no longer has.
    entries.extend(_entry(task, task, summaries[task], False) for task in sorted(summaries.keys() - listed))
    return entries


def _walk(
    graph: DagGraph, group_id: str | None, summaries: dict[str, Summary]
) -> Iterator[tuple[dict[str, Any], Summary]]:
    for node in graph.children(group_id):
        if node in graph.groups:
            together = Summary()
            inside = list(_walk(graph, node, summaries))
            for task in graph.tasks_in(node):
                together.add(summaries.get(task, Summary()))
            yield from inside
            yield _entry(node, node, together, True), together
        elif node in summaries or graph.tasks[node].get("mapping"):
            mapped = bool(graph.tasks[node].get("mapping"))
            summary = summaries.get(node) or Summary(Counter({None: 1}))
            display = str(graph.tasks[node].get("task_display_name") or node)
            yield _entry(node, display, summary, mapped), summary


def _entry(node: str, display: str, summary: Summary, with_children: bool) -> dict[str, Any]:
    return {
        "task_id": node,
        "task_display_name": display,
        "state": summary.state(),
        "child_states": {str(state): count for state, count in summary.states.items()} if with_children else None,
        "min_start_date": summary.min_start_date,
        "max_end_date": summary.max_end_date,
        "dag_version_number": summary.version_number,
    }
