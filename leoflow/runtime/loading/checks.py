"""What Airflow checks when it bags a DAG, with the place of each mistake."""

from pathlib import Path
from typing import Any

from leoflow.runtime.loading.check_timetable import check_timetable
from leoflow.runtime.loading.dag_file import Lines
from leoflow.runtime.loading.failures import Failure, explain

MAX_TASKS = 20_000


def check(dag: Any, lines: Lines, file: str) -> None:
    """Raise `Failure` when the DAG is not one that can run."""
    place, line = lines.of_dag(dag) or (file, None)
    if len(dag.task_dict) > MAX_TASKS:
        raise Failure(
            f"DAG {dag.dag_id!r} has {len(dag.task_dict)} tasks, the limit is {MAX_TASKS}",
            file=place,
            line=line,
            rule="too-many-tasks",
            hint="Map over the data with .expand(), or give each task more work.",
        )
    _cycles(dag, lines)
    try:
        dag.validate()
    except Exception as error:
        failure = explain(error, Path("/nowhere"), file)
        about = (
            f"DAG {dag.dag_id!r}, schedule {dag.schedule!r}" if failure.rule == "schedule" else f"DAG {dag.dag_id!r}"
        )
        raise Failure(
            f"{about}: {failure.what}", file=place, line=line, rule=failure.rule, hint=failure.hint
        ) from error
    check_timetable(dag, lines, file)


def _cycles(dag: Any, lines: Lines) -> None:
    circle = _find_cycle({task_id: sorted(task.downstream_task_ids) for task_id, task in dag.task_dict.items()})
    if circle:
        place, line = lines.of_task(dag, circle[0]) or (None, None)
        raise Failure(
            f"tasks depend on each other in a circle: {' -> '.join([*circle, circle[0]][:12])}",
            file=place,
            line=line,
            rule="cycle",
            hint="Remove one of these dependencies.",
        )


def _find_cycle(downstream: dict[str, list[str]]) -> list[str]:
    """Return the tasks of one circle in order, or nothing. Iterative: DAGs may be deeper than the stack."""
    done: set[str] = set()
    for start in sorted(downstream):
        if start in done:
            continue
        path, on_path = [start], {start}
        branches = [iter(downstream[start])]
        while branches:
            step = next(branches[-1], None)
            if step is None:
                branches.pop()
                done.add(path[-1])
                on_path.discard(path.pop())
            elif step in on_path:
                return path[path.index(step) :]
            elif step not in done:
                path.append(step)
                on_path.add(step)
                branches.append(iter(downstream[step]))
    return []
