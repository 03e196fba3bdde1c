"""Ask Airflow 3.2.2 what each trigger rule does for every multiset of up to three upstream states.

Run in an environment of its own with `apache-airflow==3.2.2`; the output is committed:

    python tests/truth/generate_trigger_rules.py tests/truth/trigger_rules.json

Each row is `[rule, upstream states, outcome]`; a null state is an upstream that has not finished. The outcome is
`run`, `wait`, or the state Airflow gives the task instance without running it.
"""

import itertools
import json
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.task.trigger_rule import TriggerRule
from airflow.ti_deps.deps.trigger_rule_dep import TriggerRuleDep

STATES = (None, "success", "skipped", "failed", "upstream_failed", "removed")


def dag_with(rule: str, upstreams: int) -> Any:
    """A DAG as the scheduler sees it: tasks `u0`, `u1`, … before one task `t` with the rule."""
    with DAG("truth", schedule=None, start_date=datetime(2025, 1, 1)) as dag:
        before = [EmptyOperator(task_id=f"u{i}") for i in range(upstreams)]
        before >> EmptyOperator(task_id="t", trigger_rule=rule)
    return DagSerialization.from_dict(DagSerialization.to_dict(dag))


def outcome(dag: Any, states: tuple[str | None, ...]) -> str:
    """What Airflow decides for `t` when its upstreams are in these states."""
    finished = [
        SimpleNamespace(task_id=f"u{i}", task=dag.get_task(f"u{i}"), state=state, map_index=-1)
        for i, state in enumerate(states)
        if state is not None
    ]
    given: list[str] = []
    instance = SimpleNamespace(
        task=dag.get_task("t"),
        map_index=-1,
        run_id="r",
        dag_id="truth",
        get_dagrun=lambda _session: None,
        set_state=lambda state, _session: given.append(str(state.value)) or True,
    )
    context = SimpleNamespace(
        flag_upstream_failed=True,
        wait_for_past_depends_before_skipping=False,
        have_changed_ti_states=False,
        ensure_finished_tis=lambda _run, _session: finished,
    )
    statuses = list(TriggerRuleDep()._get_dep_statuses(instance, None, context))
    if given:
        return given[-1]
    return "run" if all(status.passed for status in statuses) else "wait"


def main() -> None:
    """Write all rows, sorted, one per line."""
    rows = []
    for rule in sorted(rule.value for rule in TriggerRule):
        for count in (1, 2, 3):
            dag = dag_with(rule, count)
            for states in itertools.combinations_with_replacement(STATES, count):
                rows.append([rule, list(states), outcome(dag, states)])
    # Airflow logs to standard output, so the data goes to a named file.
    Path(sys.argv[1]).write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
