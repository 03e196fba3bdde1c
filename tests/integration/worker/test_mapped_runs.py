"""DAGs with maps end as they end under Airflow 3.2.2, whose own answers are `tests/truth/mapped_runs.json`."""

import json
from pathlib import Path
from typing import Any

import pytest

from leoflow import engine
from leoflow.execution import values
from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio

TRUTH = Path(__file__).parents[2] / "truth"
AIRFLOW: dict[str, Any] = json.loads((TRUTH / "mapped_runs.json").read_text())
BY_INDEX = {
    f"work.{rule}{place}": state
    for rule, states in (
        ("all_done_min_one_success", (None, "success", "upstream_failed", "success")),
        ("none_failed_min_one_success", (None, "success", "upstream_failed", "success")),
    )
    for place, state in zip(("", "[0]", "[1]", "[2]"), states, strict=True)
}
DIFFERENT: dict[str, dict[str, Any]] = {
    # Under Airflow the surplus instances stay upstreams, and the run is failed as deadlocked.
    "shrunk_again": {"state": "success", "instances": {"total": "success"}, "values": {"total": [0, 2]}},
    "group_shrunk_again": {"state": "success", "instances": {"total": "success"}, "values": {"total": [0, 4]}},
    "map_over_shrunk_output_again": {
        "state": "success",
        "instances": {"total": "success"},
        "values": {"total": [0, 4]},
    },
    "nested_shrunk_again": {
        "state": "success",
        "instances": {"total": "success"},
        "values": {"total": [[0, 0], [1, 0]]},
    },
    "shrunk_to_nothing_again": {"state": "success", "instances": {"double[0]": "skipped", "total": "skipped"}},
    # Airflow decides these two rules before the group's tasks have instances: under the one the task never has any, the
    # other leaves one that is removed beside them. Here the index decides, as for the other rules.
    "mapped_group_with_failures": {"instances": BY_INDEX},
    # Two of Airflow's dependencies write a state here; which one is last depends on the order of a set.
    "map_over_a_task_that_fails": {"instances": {"m_all_skipped": "upstream_failed"}},
}


# In nested maps an instance reads what the instance of its own index returned, whether it waits for that or not
# (docs/decisions/0007-nested-maps.md): under Airflow, too, it depends on the clock what is there.
READ_TOO_EARLY = """
select count(*) from leoflow_core.task_instance x
join leoflow_core.task_edge e on e.version_key = x.version_key and e.downstream_idx = x.task_idx
join leoflow_core.task_instance y
    on y.run_key = x.run_key and y.task_idx = e.upstream_idx and y.map_index = x.map_index and y.end_date > x.start_date
where x.run_key = %s and x.map_index >= 0
"""


async def outcome(harness: Harness, run_key: int) -> dict[str, Any]:
    name = "t.task_id || case when x.map_index >= 0 then '[' || x.map_index || ']' else '' end"
    [(state,)] = await harness.fetch("select state::text from leoflow_core.dag_run where run_key = %s", run_key)
    instances = await harness.fetch(
        f"select {name}, x.state::text from leoflow_core.task_instance x"
        " join leoflow_core.task t using (version_key, task_idx) where x.run_key = %s",
        run_key,
    )
    returned = await harness.fetch(
        f"select {name}, x.value from leoflow_core.xcom x join leoflow_core.dag_run r using (run_key)"
        " join leoflow_core.task t using (version_key, task_idx) where x.run_key = %s and x.key = 'return_value'",
        run_key,
    )
    [(too_early,)] = await harness.fetch(READ_TOO_EARLY, run_key)
    return {
        "state": state,
        "too_early": too_early,
        "instances": dict(instances),
        "values": {task: values.decode(value) for task, value in returned},
    }


@pytest.fixture(scope="module")
async def here(harness: Harness) -> dict[str, dict[str, Any]]:
    """How every DAG ends here, by its id."""
    for name in ("mapped", "nested"):
        await harness.register((TRUTH / "dags" / f"{name}.py").read_text(), name=name)
    keys = {dag_id: await harness.trigger(dag_id) for dag_id in sorted(AIRFLOW)}
    for run_key in keys.values():
        await harness.finished(run_key, timeout=600)
    async with harness.pool.connection() as connection:
        for dag_id in (one for one in keys if one.endswith("_again")):
            names = {name.split("[")[0] for name in AIRFLOW[dag_id]["instances"]}
            alone = sorted(name for name in names if name.endswith("_alone"))
            await engine.clear_tasks(connection, dag_id, tasks=alone or None)
        await engine.promote_due(connection)
        await engine.wake_workers(connection)
    for dag_id, run_key in keys.items():
        if dag_id.endswith("_again"):
            await harness.finished(run_key, timeout=600)
    return {dag_id: await outcome(harness, run_key) for dag_id, run_key in keys.items()}


@pytest.mark.parametrize("dag_id", sorted(AIRFLOW))
async def test_a_dag_with_maps_ends_as_under_airflow(here: dict[str, dict[str, Any]], dag_id: str) -> None:
    expected, other = AIRFLOW[dag_id], DIFFERENT.get(dag_id, {})
    wanted = {
        "state": other.get("state", expected["state"]),
        "instances": expected["instances"] | other.get("instances", {}),
        "values": _without_surplus(expected) | other.get("values", {}),
    }
    found = here[dag_id]
    assert found["state"] == wanted["state"]
    for what in ("instances", "values"):
        names = found[what].keys() | wanted[what].keys()
        pairs = {name: (found[what].get(name), wanted[what].get(name)) for name in names}
        unlike = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        if what == "values" and found["too_early"]:
            unlike = {name: pair for name, pair in unlike.items() if not _lacks_values(*pair)}
        assert not unlike


def _lacks_values(found: Any, wanted: Any) -> bool:
    """Whether both are the same but for values that are not there."""
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return all(map(_lacks_values, found, wanted))
    return found is None or found == wanted


def _without_surplus(expected: dict[str, Any]) -> dict[str, Any]:
    """Return values of instances the map has no more go with them here."""
    return {name: value for name, value in expected["values"].items() if expected["instances"][name] != "removed"}
