"""Limits and order: what may run at once, what comes first, and that nothing waits behind what cannot run."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from leoflow import engine
from tests.sql import invariants
from tests.sql.dags import (
    Connection,
    dag,
    drain,
    literal,
    name_of,
    new_worker,
    outcome,
    over,
    run_of,
    run_state,
    scalar,
    task,
    unlimited,
)

pytestmark = pytest.mark.anyio


async def set_pool(conn: Connection, name: str, slots: int, *, include_deferred: bool = False) -> None:
    """Create or change a pool as the API does."""
    async with conn.transaction():
        await conn.execute(
            "insert into leoflow_core.pool (name, slots, include_deferred) values (%s, %s, %s)"
            " on conflict (name) do update set"
            " slots = excluded.slots, include_deferred = excluded.include_deferred, is_implied = false",
            (name, slots, include_deferred),
        )
        await conn.execute("select leoflow_core.pool_changed(%s)", (name,))


async def claimed(conn: Connection, worker: int, limit: int = 100, **fields: Any) -> list[str]:
    return [name_of(one) for one in await engine.claim(conn, worker, limit, **fields)]


# -- pools ------------------------------------------------------------------------------------------------------------


async def test_a_task_of_many_slots_is_overtaken_for_a_while_and_not_for_ever(connection: Connection) -> None:
    worker = await new_worker(connection)
    await set_pool(connection, "p", 4)
    small = dag("small", [task("s", pool="p")], max_active_runs=99)
    past = dag("past", [task("p", pool="p", pool_slots=4, depends_on_past=True)])
    day = datetime(2026, 1, 1, tzinfo=UTC)
    await run_of(connection, past, logical_date=day)
    assert await drain(connection, worker, {"p": "failed"}) == ["p"]
    await run_of(connection, past, logical_date=day + timedelta(days=1))  # waits for more than slots
    await run_of(connection, dag("huge", [task("h", pool="p", pool_slots=9)]))  # will never run
    for number in range(2):
        await run_of(connection, small, run_id=f"before{number}")
    patience = "update leoflow_core.setting set value = %s where key = 'overtaking_seconds'"
    await connection.execute(patience, ("0",))
    running = [*await engine.claim(connection, worker, 1), *await engine.claim(connection, worker, 9)]
    await connection.execute(patience, ("300",))
    await run_of(connection, dag("big", [task("b", pool="p", pool_slots=4)]))
    for number in range(4):
        await run_of(connection, small, run_id=f"after{number}")
    running += await engine.claim(connection, worker, 1)
    assert [one.task_id for one in running] == ["s", "s", "s"]
    await connection.execute(patience, ("0",))
    assert await claimed(connection, worker) == []
    blocked = "select distinct task_id, blocked_by from leoflow.queue where task_id in ('b', 's') order by 1"
    assert await (await connection.execute(blocked)).fetchall() == [
        ("b", "pool is full"),
        ("s", "a task before it waits for slots"),
    ]
    await run_of(connection, dag("urgent", [task("u", pool="p", effective_priority=5)]))
    running += await engine.claim(connection, worker, 9)
    assert [one.task_id for one in running] == ["s", "s", "s", "u"]
    await engine.finish(connection, worker, [outcome(one) for one in running])
    (big,) = await engine.claim(connection, worker, 9)
    assert big.task_id == "b"
    await engine.finish(connection, worker, [outcome(big)])
    assert await drain(connection, worker) == ["s", "s", "s"]
    await invariants.check(connection)


async def test_a_pool_of_unlimited_slots_limits_nothing(connection: Connection) -> None:
    worker = await new_worker(connection)
    await set_pool(connection, "open", -1)
    await run_of(
        connection, dag("d", [task(f"t{i}", pool="open", pool_slots=9) for i in range(40)], max_active_tasks=99)
    )
    assert len(await claimed(connection, worker)) == 40
    with pytest.raises(psycopg.errors.CheckViolation):
        await set_pool(connection, "open", -2)


async def test_a_pool_resized_below_its_use_is_not_handed_on(connection: Connection) -> None:
    worker = await new_worker(connection)
    await set_pool(connection, "p", 4)
    pairs = [task(f"{name}{i}", *([f"a{i}"] if name == "b" else []), pool="p") for i in range(4) for name in "ab"]
    await run_of(connection, dag("d", pairs))
    running = await engine.claim(connection, worker, 100)
    assert len(running) == 4
    await set_pool(connection, "p", 2)
    for number, left in ((0, 3), (1, 2)):
        assert (await engine.finish(connection, worker, [outcome(running[number])], handoff=5)).handed == []
        assert await claimed(connection, worker) == []
        assert await scalar(connection, "select occupied_slots from leoflow.pools where name = 'p'") == left
    assert await claimed(connection, worker) == []
    await engine.finish(connection, worker, [outcome(running[2])])
    (one,) = await engine.claim(connection, worker, 100)
    # within its slots again: handing over is back
    assert len((await engine.finish(connection, worker, [outcome(running[3])], handoff=5)).handed) == 1
    await engine.finish(connection, worker, [outcome(one)])
    await invariants.check(connection)


async def test_a_pool_that_gets_a_limit_counts_what_runs_in_it(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    names = [f"a{i}" for i in range(5)]
    run = await run_of(connection, dag("d", [*map(task, names), *(task(f"b{i}", f"a{i}") for i in range(5))]))
    running = await engine.claim(connection, worker, 3)
    await set_pool(connection, "default_pool", 4)
    assert await claimed(connection, worker) == ["a3"]
    assert (await engine.finish(connection, worker, [outcome(one) for one in running])).ready
    await invariants.check(connection)
    assert len(await claimed(connection, worker)) == 3
    await set_pool(connection, "default_pool", -1)
    await invariants.check(connection)
    await set_pool(connection, "default_pool", 100)
    await drain(connection, worker)
    cursor = await connection.execute("select * from leoflow_core.task_instance where state = 'running'")
    assert cursor.rowcount == 4
    assert await run_state(connection, run) == "running"


async def test_a_run_created_while_its_pool_got_a_limit_is_subject_to_it(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("a"), task("b"), task("c", "a")]))
    # as if create_run had read the slots before they changed
    await connection.execute("update leoflow_core.pool set slots = 0")
    assert await claimed(connection, worker) == await claimed(connection, worker) == []
    await invariants.check(connection)
    await connection.execute("update leoflow_core.pool set slots = 1")
    (one,) = await engine.claim(connection, worker, 100)
    assert (await engine.finish(connection, worker, [outcome(one)], handoff=5)).handed == []
    assert len(await claimed(connection, worker)) == 1
    await invariants.check(connection)


async def test_tasks_of_a_deleted_pool_wait_until_it_is_there_again(connection: Connection) -> None:
    worker = await new_worker(connection)
    await set_pool(connection, "p", 1)
    run = await run_of(connection, dag("d", [task("a", pool="p"), task("b", pool="p")]))
    (one,) = await engine.claim(connection, worker, 100)
    assert await scalar(connection, "select leoflow_core.delete_pool('p')")
    assert not await scalar(connection, "select leoflow_core.delete_pool('p')")
    await engine.finish(connection, worker, [outcome(one)])
    assert await claimed(connection, worker) == []
    await set_pool(connection, "p", 1)
    assert await drain(connection, worker) == ["b"]
    assert await run_state(connection, run) == "success"


# -- order ------------------------------------------------------------------------------------------------------------


async def test_priority_comes_first_across_pools_queues_and_limits(connection: Connection) -> None:
    worker = await new_worker(connection)
    await set_pool(connection, "open", -1)
    await set_pool(connection, "small", 1)
    await set_pool(connection, "other", 50)
    places: list[dict[str, Any]] = [
        {"pool": "open"},
        {"pool": "open", "queue": "gpu"},
        {"pool": "default_pool"},
        {"pool": "default_pool", "queue": "gpu"},
        {"pool": "other"},
    ]
    # the best of the pool `small` holds its only slot, the next best of it waits in front of all others
    tasks = [task(name, pool="small", effective_priority=weight) for name, weight in (("held", 100), ("waits", 99))]
    tasks += [
        task(f"p{priority:02}", effective_priority=priority, **places[priority * 7 % len(places)])
        for priority in range(1, 31)
    ]
    await run_of(connection, dag("d", tasks, max_active_tasks=100))
    assert await claimed(connection, worker, 1) == ["held"]
    order = [name for _ in range(30) for name in await claimed(connection, worker, 1)]
    assert order == [f"p{priority:02}" for priority in range(30, 0, -1)]


# -- nothing waits behind what cannot run -----------------------------------------------------------------------------


async def test_small_tasks_pass_a_big_one_that_waits_for_slots(connection: Connection) -> None:
    worker = await new_worker(connection)
    await set_pool(connection, "p", 4)
    await run_of(connection, dag("holds", [task("holds", pool="p", pool_slots=2, effective_priority=9)]))
    assert await claimed(connection, worker) == ["holds"]
    tasks = [task("big", pool="p", pool_slots=3, effective_priority=5), task("huge", pool="p", pool_slots=9)]
    await run_of(connection, dag("d", [*tasks, *(task(f"s{i}", pool="p") for i in range(3))]))
    # in one call, though `huge`, of the same priority, comes before them by name
    assert await claimed(connection, worker) == ["s0", "s1"]
    blocked = await connection.execute("select task_id, blocked_by from leoflow.queue order by 1")
    assert dict(await blocked.fetchall()) == {
        "big": "pool is full",
        "huge": "pool has fewer slots than the task needs",
        "s2": "pool is full",
    }


async def test_a_dag_at_its_limit_does_not_hold_up_another(connection: Connection) -> None:
    worker = await new_worker(connection)
    full = [task(f"a{i}", effective_priority=9) for i in range(30)]
    await run_of(connection, dag("full", full, max_active_tasks=2))
    await run_of(connection, dag("other", [task("b")]))
    assert await claimed(connection, worker) == ["a0", "a1", "b"]


@pytest.mark.parametrize("limit", ["max_active_tis_per_dag", "max_active_tis_per_dagrun"])
async def test_instances_of_a_limited_task_do_not_hide_others(connection: Connection, limit: str) -> None:
    worker = await new_worker(connection)
    each = task("each", mapping=over(literal(300)), **{limit: 2})
    await run_of(connection, dag("d", [each, task("z")], max_active_tasks=100))
    await run_of(connection, dag("e", [task("y")]))
    assert await claimed(connection, worker, 10) == ["each[0]", "each[1]", "z", "y"]
    assert await claimed(connection, worker, 10) == []


async def test_max_active_tis_counts_per_run_or_over_all_runs(connection: Connection) -> None:
    worker = await new_worker(connection)
    each = task("per_dag", mapping=over(literal(5)), max_active_tis_per_dag=3)
    other = task("per_run", mapping=over(literal(5)), max_active_tis_per_dagrun=2)
    await run_of(connection, dag("d", [each, other], max_active_tasks=100))
    await engine.create_run(connection, "d", run_id="second")
    running = await engine.claim(connection, worker, 100)
    assert [one.task_id for one in running].count("per_dag") == 3
    assert [one.task_id for one in running].count("per_run") == 4
    await invariants.check(connection)
    first = next(one for one in running if one.task_id == "per_dag")
    assert (await engine.finish(connection, worker, [outcome(first)], handoff=9)).handed == []
    assert [name.split("[")[0] for name in await claimed(connection, worker)] == ["per_dag"]


async def test_many_that_cannot_run_do_not_hold_up_the_rest_nor_the_claim(connection: Connection) -> None:
    worker = await new_worker(connection)
    await set_pool(connection, "full", 0)
    await set_pool(connection, "default_pool", 500)
    names = [f"w{i:04}" for i in range(2000)]
    waits = [task(name, pool="full", effective_priority=9) for name in names]
    each = task("each", mapping=over(literal(3000)), max_active_tis_per_dag=1, effective_priority=8)
    await run_of(connection, dag("blocked", [*waits, each], max_active_tasks=5000))
    pair = [task("m", effective_priority=7), task("n", effective_priority=7)]
    await run_of(connection, dag("many", pair, max_active_tasks=1, max_active_runs=200))
    for number in range(150):
        await engine.create_run(connection, "many", run_id=str(number))
    while "m" in await claimed(connection, worker):
        pass
    await run_of(connection, dag("d", [task("last")]))
    await connection.execute("set statement_timeout = '5s'")
    assert await claimed(connection, worker) == ["last"]


# -- runs -------------------------------------------------------------------------------------------------------------


async def test_only_the_last_runs_decide_about_pausing_a_failing_dag(connection: Connection) -> None:
    """Airflow looks at the runs that were due last, finished or not."""
    worker = await new_worker(connection)
    spec = dag("d", [task("a")], max_consecutive_failed_dag_runs=2)
    await engine.register_version(connection, spec)
    now = await scalar(connection, "select clock_timestamp()")

    async def run(days: int, end: str | None) -> None:
        await engine.create_run(connection, "d", run_id=f"{days}{end}", run_after=now + timedelta(days=days - 20))
        if end:
            await drain(connection, worker, {"a": end})
        else:
            await engine.claim(connection, worker, 1)

    paused = "select is_paused from leoflow_core.dag"
    await run(5, "success")
    await run(1, "failed")
    await run(2, "failed")
    assert not await scalar(connection, paused)  # the last by date is the one of day 5
    await run(6, "failed")
    await run(8, None)
    await run(7, "failed")
    assert not await scalar(connection, paused)  # the last two are the one of day 8, which runs, and that of day 7
    await run(9, "failed")
    await run(10, "failed")
    assert await scalar(connection, paused)


async def test_the_best_of_the_oldest_run_is_found_in_whatever_queue_it_is(connection: Connection) -> None:
    await unlimited(connection)
    tasks = [task("low", effective_priority=1), task("high", queue="other", effective_priority=9)]
    await run_of(connection, dag("d", tasks))
    await scalar(connection, "select leoflow_core.refresh_watermark()")
    worker = await new_worker(connection)
    assert [one.task_id for one in await engine.claim(connection, worker, 1)] == ["high"]


async def test_without_a_limit_too_the_next_try_finds_nothing_of_the_one_before(connection: Connection) -> None:
    """Another statement places the attempt then."""
    await unlimited(connection)
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("a", retries=1, retry_delay_seconds=0.0)]))
    [first] = await engine.claim(connection, worker, 1)
    assert await engine.put_xcom(connection, first.ref, "half", b"1")
    await engine.finish(connection, worker, [outcome(first, "failed")])
    [second] = await engine.claim(connection, worker, 1)
    assert second.try_number == 2
    assert await scalar(connection, "select count(*) from leoflow_core.xcom") == 0
