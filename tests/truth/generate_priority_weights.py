"""Ask Airflow 3.2.2 for the priority weight of every task of random DAGs under its three weight rules.

Run in an environment of its own with `apache-airflow==3.2.2`; the output is committed:

    python tests/truth/generate_priority_weights.py tests/truth/priority_weights.json

Each row is one DAG: `{"tasks": {task_id: {"upstreams": […], "weight": n, "rule": rule, "total": n}}}`; `total` is what
Airflow writes to `task_instance.priority_weight`, or would if it were in the column's range.
"""

import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

RULES = ("downstream", "upstream", "absolute")
WEIGHTS = (0, 1, 1, 1, 2, 7, 100, -3, 2**31 - 1, 2**30)


def graph(seed: int) -> dict[str, Any]:
    """A random DAG, some of its weights so large that sums leave the range of the column."""
    chosen = random.Random(seed)
    weights = WEIGHTS if seed % 3 == 0 else WEIGHTS[:8]
    names = [f"t{number}" for number in range(chosen.randint(1, 9))]
    return {
        name: {
            "upstreams": sorted(chosen.sample(names[:number], chosen.randint(0, min(number, 3)))),
            "weight": chosen.choice(weights),
            "rule": chosen.choice(RULES),
        }
        for number, name in enumerate(names)
    }


def totals(number: int, tasks: dict[str, Any]) -> dict[str, int]:
    """What Airflow makes of them."""
    with DAG(f"d{number}") as dag:
        made = {
            name: EmptyOperator(task_id=name, priority_weight=one["weight"], weight_rule=one["rule"])
            for name, one in tasks.items()
        }
        for name, one in tasks.items():
            for upstream in one["upstreams"]:
                made[upstream] >> made[name]
    scheduled = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    values = {}
    for name in tasks:
        run: Any = SimpleNamespace(context_carrier={})
        task: Any = scheduled.get_task(name)
        row = TaskInstance.insert_mapping("run", task, map_index=-1, dag_version_id=None, dag_run=run)
        values[name] = row["priority_weight"]
    return values


def main() -> None:
    """Write one JSON object per line."""
    rows = []
    for number in range(60):
        tasks = graph(number)
        for name, total in totals(number, tasks).items():
            tasks[name]["total"] = total
        rows.append({"tasks": tasks})
    Path(sys.argv[1]).write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    main()
