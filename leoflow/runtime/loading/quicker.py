"""Keeps the time to load a DAG file proportional to its tasks, where the Task SDK's grows with their square.

Two functions are replaced by equivalent ones while a file is loaded: the numbering of repeated task ids (`trial`,
`trial__1`, …), which matches a pattern against every task of the DAG for each new one, and the hash of a DAG, which
reads all task ids for each edge. With 5,000 trials they cost a minute, at compile time and in every worker.
"""

import contextlib
import itertools
import re
from collections.abc import Iterator
from typing import Any

_SUFFIX = re.compile(r"(.*)__(\d+)", re.DOTALL)


class TaskIds:
    """Knows the highest number given to each name of each DAG."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._highest: dict[int, dict[str, int]] = {}

    def unique(self, task_id: str, dag: Any = None, task_group: Any = None) -> str:
        """Return `task_id`, or its next numbered form when the DAG has it already."""
        from airflow.sdk.definitions._internal.contextmanager import DagContext, TaskGroupContext

        dag = dag or DagContext.get_current()
        if not dag:
            return task_id
        task_group = task_group or TaskGroupContext.get_current(dag)
        full_id = task_group.child_id(task_id) if task_group else task_id
        if full_id not in dag.task_dict:
            return task_id
        base = re.split(r"__\d+$", full_id)[0]
        core = re.split(r"__\d+$", task_id)[0]
        return f"{core}__{self._highest_of(dag, base) + 1}"

    def _highest_of(self, dag: Any, base: str) -> int:
        highest = self._read_new(dag)
        if re.escape(base) == base:
            return highest.get(base, 0)
        # The SDK uses the name as a pattern, in which the dot of a group matches anything.
        pattern = re.compile(f"{base}$")
        return max((number for name, number in highest.items() if pattern.match(name)), default=0)

    def _read_new(self, dag: Any) -> dict[str, int]:
        key, count = id(dag), len(dag.task_dict)
        seen = self._seen.get(key, 0)
        if seen > count:
            seen = 0
        highest = self._highest.setdefault(key, {}) if seen else {}
        for task_id in itertools.islice(dag.task_dict, seen, None):
            if match := _SUFFIX.fullmatch(task_id):
                name, number = match[1], int(match[2])
                highest[name] = max(highest.get(name, 0), number)
        self._highest[key], self._seen[key] = highest, count
        return highest


@contextlib.contextmanager
def quicker_loading() -> "Iterator[None]":
    """Replace both while DAG files are loaded."""
    from airflow.sdk import DAG
    from airflow.sdk.bases import decorator

    unique, hash_of = decorator.get_unique_task_id, DAG.__hash__
    decorator.get_unique_task_id = TaskIds().unique
    # Equal DAGs have equal ids, so this is a hash, if a coarser one.
    DAG.__hash__ = lambda dag: hash(dag.dag_id)
    try:
        yield
    finally:
        decorator.get_unique_task_id, DAG.__hash__ = unique, hash_of
