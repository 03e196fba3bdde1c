"""Tasks with a start_date or end_date of their own: runs outside of them are without them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leoflow import engine
from tests.sql import invariants
from tests.sql.dags import Connection, dag, drain, new_worker, over, result, run_of, run_state, scalar, states, task

pytestmark = pytest.mark.anyio
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SPEC = dag(
    "d",
    [
        task("a", extra={"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-02-01T00:00:00Z"}),
        task("new", "a", extra={"start_date": "2026-01-03T00:00:00Z"}),
        task("newer", "new", extra={"start_date": "2026-01-03T00:00:00Z"}),
        task("old", extra={"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-01-02T00:00:00Z"}),
    ],
    start_date="2026-01-01T00:00:00Z",
    end_date="2026-02-01T00:00:00Z",
)


RUNS = [
    (0, "scheduled", ["a", "old"]),
    (1, "scheduled", ["a", "old"]),
    (2, "scheduled", ["a", "new", "newer"]),
    (3, "manual", ["a", "new", "newer"]),
    (-9, "manual", ["a", "old"]),  # the DAG's own dates take nothing out
    (90, "manual", ["a", "new", "newer"]),
    (-1, "backfill", ["a", "new", "newer", "old"]),
    (None, "manual", ["a", "new", "newer", "old"]),
]


async def test_a_run_has_the_tasks_of_its_date(connection: Connection) -> None:
    worker = await new_worker(connection)
    for day, kind, order in RUNS:
        date = None if day is None else FIRST + DAY * day
        run = await run_of(connection, SPEC, run_type=kind, logical_date=date, run_after=FIRST)
        for _ in range(2):
            assert sorted(await drain(connection, worker)) == order
            found = await states(connection, run)
            assert {name for name, state in found.items() if state == "success"} == set(order)
            assert set(found) == {"a", "new", "newer", "old"}
            assert set(found.values()) <= {"success", "removed"}
            assert await run_state(connection, run) == "success"
            await invariants.check(connection)
            await engine.clear_tasks(connection, "d", run.run_id)
        await drain(connection, worker)


@pytest.mark.parametrize("room", [0, 1])
async def test_what_waits_for_a_task_that_is_not_there_is_upstream_failed(connection: Connection, room: int) -> None:
    """In Airflow it keeps no state, and the run is failed as deadlocked."""
    worker = await new_worker(connection)
    gone: dict[str, Any] = {"extra": {"end_date": "2025-12-31T00:00:00Z"}}
    tasks = [
        task("a"),
        task("gone", "a", **gone),
        task("each", "gone", mapping=over(result("gone"))),
        task("z", "gone", "a"),
    ]
    await engine.register_version(connection, dag("d", tasks, max_active_runs=room))
    run = await run_of(connection, dag("d", tasks, max_active_runs=room), logical_date=FIRST)
    if not room:
        assert await run_state(connection, run) == "queued"
        await connection.execute("update leoflow_core.dag set max_active_runs = 1")
    assert await drain(connection, worker) == ["a"]
    assert await states(connection, run) == {
        "a": "success",
        "gone": "removed",
        "each": "upstream_failed",
        "z": "upstream_failed",
    }
    assert await run_state(connection, run) == "failed"
    await invariants.check(connection)


async def test_due_runs_are_without_them_too(connection: Connection) -> None:
    await engine.register_version(connection, SPEC)
    await connection.execute(
        "select leoflow_core.create_due_runs('{d}', '{r}', %(at)s, %(at)s, %(at)s, '{null}', '{null}')", {"at": [FIRST]}
    )
    assert await scalar(connection, "select count(*) from leoflow.task_instances where state = 'removed'") == 2
