"""Tasks that look at the run before theirs: depends_on_past and wait_for_downstream (Airflow, prev_dagrun_dep.py)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leoflow import engine
from leoflow.engine import CreatedRun
from tests.sql.dags import (
    Connection,
    dag,
    drain,
    literal,
    new_worker,
    outcome,
    over,
    run_of,
    scalar,
    task,
)

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


async def run_on(conn: Connection, spec: dict[str, Any], number: int, **fields: Any) -> CreatedRun:
    """A run of the schedule, a day after the other."""
    return await run_of(conn, spec, logical_date=FIRST + DAY * number, **{"run_type": "scheduled", **fields})


async def test_depends_on_past_waits_for_the_same_task_of_the_previous_run(connection: Connection) -> None:
    worker = await new_worker(connection)
    spec = dag("d", [task("a", depends_on_past=True), task("b", "a")])
    first = await run_on(connection, spec, 0)
    second = await run_on(connection, spec, 1)
    (one,) = await engine.claim(connection, worker, 10)
    assert one.run_key == first.run_key
    await engine.finish(connection, worker, [outcome(one, "failed")])
    assert await engine.claim(connection, worker, 10) == []
    blocked = "select blocked_by from leoflow.queue where run_key = %s"
    assert await scalar(connection, blocked, second.run_key) == "depends_on_past"
    await engine.mark_tasks(connection, "d", first.run_id, ["a"], "success")
    # marking also clears what had failed downstream
    claimed = {(o.run_key, o.task_id) for o in await engine.claim(connection, worker, 10)}
    assert claimed == {(first.run_key, "b"), (second.run_key, "a")}


async def test_wait_for_downstream_waits_for_the_successors_of_the_previous_run_too(connection: Connection) -> None:
    worker = await new_worker(connection)
    spec = dag("d", [task("a", depends_on_past=True, wait_for_downstream=True), task("b", "a")])
    await run_on(connection, spec, 0)
    await run_on(connection, spec, 1)
    (one,) = await engine.claim(connection, worker, 10)
    await engine.finish(connection, worker, [outcome(one)])
    (two,) = await engine.claim(connection, worker, 10)
    assert (two.task_id, two.run_key) == ("b", one.run_key)
    await engine.finish(connection, worker, [outcome(two)])
    assert await drain(connection, worker) == ["a", "b"]


@pytest.mark.parametrize(("end", "starts"), [("success", True), ("skipped", True), ("failed", False)])
async def test_every_instance_of_the_previous_run_counts(connection: Connection, end: str, starts: bool) -> None:
    worker = await new_worker(connection)
    spec = dag("d", [task("a", depends_on_past=True, mapping=over(literal(2)))])
    await run_on(connection, spec, 0)
    await run_on(connection, spec, 1)
    assert await drain(connection, worker, {"a[1]": end}) == ["a[0]", "a[1]"] * (1 + starts)


async def test_a_cleared_predecessor_is_waited_for_again(connection: Connection) -> None:
    worker = await new_worker(connection)
    spec = dag("d", [task("a", depends_on_past=True)])
    first = await run_on(connection, spec, 0)
    await drain(connection, worker)
    await engine.clear_tasks(connection, "d", first.run_id)
    second = await run_on(connection, spec, 1)
    (again,) = await engine.claim(connection, worker, 10)
    assert again.run_key == first.run_key
    await engine.finish(connection, worker, [outcome(again)])
    assert [one.run_key for one in await engine.claim(connection, worker, 10)] == [second.run_key]


@pytest.mark.parametrize("catchup", [True, False])
async def test_runs_by_hand_count_only_without_catchup(connection: Connection, catchup: bool) -> None:
    worker = await new_worker(connection)
    spec = dag("d", [task("a", depends_on_past=True)], catchup=catchup)
    await run_on(connection, spec, 0, run_type="manual")
    assert await drain(connection, worker, {"a": "failed"}) == ["a"]
    await run_on(connection, spec, 1)
    assert await drain(connection, worker) == (["a"] if catchup else [])


NEW: list[tuple[dict[str, Any], bool, bool]] = [
    ({"ignore_first_depends_on_past": True}, True, True),
    ({}, False, False),  # the compiler leaves out what is false
    ({"start_date": "2026-01-02T00:00:00Z"}, True, True),
    ({"start_date": "2026-01-02T00:00:00Z"}, False, False),
    ({"start_date": "2026-01-01T00:00:00Z"}, True, False),
]


async def test_the_first_run_of_a_new_task_is_free_if_it_may_be(connection: Connection) -> None:
    worker = await new_worker(connection)
    for number, (extra, catchup, starts) in enumerate(NEW):
        name = f"d{number}"
        await run_on(connection, dag(name, [task("a")], catchup=catchup), 0)
        await drain(connection, worker)
        tasks = [task("a"), task("new", depends_on_past=True, extra=extra)]
        await run_on(connection, dag(name, tasks, catchup=catchup), 1)
        assert await drain(connection, worker) == ["a", "new"][: 1 + starts], extra


async def test_a_run_without_the_task_is_not_its_past(connection: Connection) -> None:
    """Of a task that began on the second day."""
    worker = await new_worker(connection)
    new = {"start_date": "2026-01-02T00:00:00Z", "ignore_first_depends_on_past": True}
    tasks = [
        task("a", depends_on_past=True, wait_for_downstream=True),
        task("new", "a", depends_on_past=True, extra=new),
    ]
    for day in range(3):
        await run_on(connection, dag("d", tasks), day)
        assert await drain(connection, worker) == ["a", "new"][: 1 + (day > 0)]
