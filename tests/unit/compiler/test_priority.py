"""Priority weights are the sums Airflow 3.2.2 makes (recorded: tests/truth/priority_weights.json)."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leoflow.runtime.loading.priority import MAX_WEIGHT, MIN_WEIGHT, effective_priorities

TRUTH: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "truth" / "priority_weights.json").read_text())


@pytest.mark.parametrize("number", range(len(TRUTH)))
def test_weights_are_airflows_within_the_range_of_the_column(number: int) -> None:
    described = TRUTH[number]["tasks"]
    tasks = {
        name: SimpleNamespace(
            priority_weight=one["weight"],
            upstream_task_ids=set(one["upstreams"]),
            downstream_task_ids={other for other, each in described.items() if name in each["upstreams"]},
        )
        for name, one in described.items()
    }
    found = effective_priorities(tasks, {name: one["rule"] for name, one in described.items()})
    assert found == {name: max(MIN_WEIGHT, min(MAX_WEIGHT, one["total"])) for name, one in described.items()}
