"""From a created run to its end: order, propagation, retries, limits."""

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from leoflow import engine
from leoflow.engine import Outcome, XComValue
from tests.sql.dags import (
    Connection,
    chain,
    dag,
    drain,
    instances,
    literal,
    new_worker,
    outcome,
    over,
    run_of,
    run_state,
    scalar,
    states,
    task,
    unlimited,
)

pytestmark = pytest.mark.anyio


async def test_a_chain_runs_in_order_and_succeeds(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("etl", "extract", "transform", "load"))
    assert await drain(connection, worker) == ["extract", "transform", "load"]
    assert await run_state(connection, run) == "success"
    assert await scalar(connection, "select count(*) from leoflow_core.gate_token") == 0


async def test_handoff_gives_the_successor_to_the_finishing_worker(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("etl", "a", "b", "c"))
    (first,) = await engine.claim(connection, worker, 10)
    for name in ("b", "c"):
        result = await engine.finish(connection, worker, [outcome(first)], handoff=1)
        (first,) = result.handed
        assert (first.task_id, first.state, first.try_number, result.ready) == (name, "running", 1, False)
        assert await scalar(connection, "select count(*) from leoflow_core.gate_token") == 1
    await engine.finish(connection, worker, [outcome(first)], handoff=1)
    assert await run_state(connection, run) == "success"


async def test_failure_makes_the_rest_upstream_failed_and_the_run_failed(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("etl", "a", "b", "c", "d"))
    await drain(connection, worker, {"b": "failed"})
    assert await states(connection, run) == {
        "a": "success",
        "b": "failed",
        "c": "upstream_failed",
        "d": "upstream_failed",
    }
    assert await run_state(connection, run) == "failed"


async def test_skips_propagate_and_leave_the_run_successful(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(
        connection,
        dag(
            "d",
            [
                task("a"),
                task("b", "a"),
                task("c", "b"),
                task("end", "a", "c", trigger_rule="none_failed_min_one_success"),
            ],
        ),
    )
    await drain(connection, worker, {"b": "skipped"})
    assert await states(connection, run) == {"a": "success", "b": "skipped", "c": "skipped", "end": "success"}
    assert await run_state(connection, run) == "success"


async def test_one_success_starts_before_its_slow_upstream_is_done(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a"), task("b"), task("fast", "a", "b", trigger_rule="one_success")]))
    a, b = await engine.claim(connection, worker, 10)
    await engine.finish(connection, worker, [outcome(a)])
    (fast,) = await engine.claim(connection, worker, 10)
    assert fast.task_id == "fast"
    await engine.finish(connection, worker, [outcome(fast)])
    assert await run_state(connection, run) == "running"
    await engine.finish(connection, worker, [outcome(b)])
    assert await run_state(connection, run) == "success"


async def test_a_run_fails_only_for_its_leaves(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a"), task("cleanup", "a", trigger_rule="all_done")]))
    await drain(connection, worker, {"a": "failed"})
    assert await run_state(connection, run) == "success"


async def test_a_teardown_does_not_hide_the_failure_of_the_work(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(
        connection,
        dag(
            "d",
            [
                task("setup", is_setup=True),
                task("work", "setup"),
                task("teardown", "setup", "work", is_teardown=True, trigger_rule="all_done_setup_success"),
            ],
        ),
    )
    assert await drain(connection, worker, {"work": "failed"}) == ["setup", "work", "teardown"]
    assert await run_state(connection, run) == "failed"


async def test_work_inside_the_scope_of_a_skipped_setup_is_skipped(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(
        connection,
        dag(
            "d",
            [
                task("setup", is_setup=True),
                task("one", "setup"),
                task("two", "one", trigger_rule="all_done"),
                task("teardown", "setup", "two", is_teardown=True, trigger_rule="all_done_setup_success"),
            ],
        ),
    )
    await drain(connection, worker, {"setup": "failed"})
    found = await states(connection, run)
    assert found["two"] == "upstream_failed"
    assert found["teardown"] == "upstream_failed"


async def test_a_retry_waits_for_its_delay_and_keeps_the_history(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a", retries=2, retry_delay_seconds=60.0)]))
    (first,) = await engine.claim(connection, worker, 10)
    assert first.should_retry
    assert not (await engine.finish(connection, worker, [outcome(first, "failed")])).ready
    assert await states(connection, run) == {"a": "up_for_retry"}
    assert await engine.promote_due(connection) == 0
    assert await engine.next_due(connection) is not None
    await connection.execute(
        "update leoflow_core.task_instance set due_at = clock_timestamp() where due_at is not null"
    )
    assert await engine.promote_due(connection) == 1
    (second,) = await engine.claim(connection, worker, 10)
    assert (second.try_number, second.attempt_id != first.attempt_id) == (2, True)
    assert (await engine.finish(connection, worker, [outcome(first)])).stale == [first.attempt_id]
    await engine.finish(connection, worker, [outcome(second)])
    cursor = await connection.execute("select try_number, state from leoflow.task_attempts order by try_number")
    assert await cursor.fetchall() == [(1, "failed"), (2, "success")]
    assert await run_state(connection, run) == "success"


async def test_a_failure_that_must_not_be_retried_is_final(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a", retries=2)]))
    (first,) = await engine.claim(connection, worker, 10)
    await engine.finish(connection, worker, [Outcome(first.ref, "failed", retryable=False)])
    assert await run_state(connection, run) == "failed"


async def test_retries_end_at_their_number(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a", retries=2, retry_delay_seconds=0.0)]))
    assert await drain(connection, worker, {"a": "failed"}) == ["a", "a", "a"]
    assert await run_state(connection, run) == "failed"


async def test_a_retry_starts_without_the_xcoms_of_the_last_try(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("a", retries=1, retry_delay_seconds=0.0)]))
    (first,) = await engine.claim(connection, worker, 1)
    assert await engine.put_xcom(connection, first.ref, "half", b"1")
    await engine.finish(connection, worker, [outcome(first, "failed")])
    assert not await engine.put_xcom(connection, first.ref, "half", b"2")
    assert await scalar(connection, "select count(*) from leoflow_core.xcom") == 1
    await engine.claim(connection, worker, 1)
    assert await scalar(connection, "select count(*) from leoflow_core.xcom") == 0


async def test_a_reschedule_keeps_the_try_and_the_first_start(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("a")]))
    (first,) = await engine.claim(connection, worker, 1)
    await engine.finish(connection, worker, [outcome(first, "up_for_reschedule")])
    assert await engine.promote_due(connection) == 1
    (second,) = await engine.claim(connection, worker, 1)
    assert (second.try_number, second.reschedule_count) == (1, 1)
    assert second.first_start_date == first.start_date


async def test_priority_comes_before_age(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, dag("low", [task("low", effective_priority=1)]))
    await run_of(connection, dag("high", [task("high", effective_priority=9)]))
    assert await drain(connection, worker, batch=1) == ["high", "low"]


async def test_max_active_tasks_limits_one_run_and_not_the_others(connection: Connection) -> None:
    worker = await new_worker(connection)
    spec = dag("d", [task(f"t{i}") for i in range(10)], max_active_tasks=3)
    await run_of(connection, spec)
    await run_of(connection, spec)
    claimed = await engine.claim(connection, worker, 100)
    assert len(claimed) == 6
    assert await engine.claim(connection, worker, 100) == []
    await engine.finish(connection, worker, [outcome(claimed[0])])
    assert len(await engine.claim(connection, worker, 100)) == 1


async def test_a_pool_is_never_overdrawn_and_large_tasks_count_more(connection: Connection) -> None:
    worker = await new_worker(connection)
    await connection.execute("insert into leoflow_core.pool (name, slots) values ('small', 4)")
    tasks = [task("big", pool="small", pool_slots=3, effective_priority=5)]
    tasks += [task(f"t{i}", pool="small") for i in range(5)] + [task("free")]
    await run_of(connection, dag("d", tasks))
    claimed = {one.task_id: one for one in await engine.claim(connection, worker, 100)}
    assert set(claimed) == {"big", "t0", "free"}
    await engine.finish(connection, worker, [outcome(claimed["big"])])
    assert len(await engine.claim(connection, worker, 100)) == 3


async def test_a_task_in_a_pool_nobody_created_waits(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("a", pool="typo")]))
    assert await engine.claim(connection, worker, 10) == []
    assert (
        await scalar(connection, "select blocked_by from leoflow.queue") == "pool has fewer slots than the task needs"
    )


async def test_max_active_tis_per_dagrun_limits_one_task(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("a", max_active_tis_per_dag=1), task("b")]))
    await engine.create_run(connection, "d", run_id="second")
    assert sorted(one.task_id for one in await engine.claim(connection, worker, 10)) == ["a", "b", "b"]


async def test_max_active_runs_queues_the_rest_and_starts_them_in_turn(connection: Connection) -> None:
    worker = await new_worker(connection)
    spec = dag("d", [task("a")], max_active_runs=1)
    first = await run_of(connection, spec)
    second = await engine.create_run(connection, "d", run_id="second")
    assert (await run_state(connection, first), await run_state(connection, second)) == ("running", "queued")
    (one,) = await engine.claim(connection, worker, 10)
    assert await engine.claim(connection, worker, 10) == []
    await engine.finish(connection, worker, [outcome(one)])
    assert len(await engine.claim(connection, worker, 10)) == 1
    assert await run_state(connection, second) == "running"


async def test_a_dag_without_tasks_succeeds_at_once(connection: Connection) -> None:
    run = await run_of(connection, dag("empty", []))
    assert await run_state(connection, run) == "success"


async def test_nothing_of_a_paused_dag_is_claimed_until_it_is_unpaused(connection: Connection) -> None:
    worker = await new_worker(connection)
    for gated in (True, False):
        if not gated:
            await unlimited(connection)
        name = f"d{gated}"
        await run_of(connection, dag(name, [task("a"), task("b", "a")]))
        (one,) = await engine.claim(connection, worker, 10)
        await engine.set_paused(connection, name, True)
        assert (await engine.finish(connection, worker, [outcome(one)], handoff=5)).handed == []
        assert await engine.claim(connection, worker, 10) == []
        queued = await engine.create_run(connection, name, run_id="later")
        assert await run_state(connection, queued) == "queued"
        await engine.set_paused(connection, name, False)
        assert sorted(o.task_id for o in await engine.claim(connection, worker, 10)) == ["a", "b"]


async def test_queues_are_served_by_workers_that_name_them(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("gpu", queue="gpu"), task("cpu")]))
    assert [o.task_id for o in await engine.claim(connection, worker, 10, queues=["default"])] == ["cpu"]
    assert await engine.claim(connection, worker, 10, queues=["nobody"]) == []
    assert [o.task_id for o in await engine.claim(connection, worker, 10, queues=["gpu"])] == ["gpu"]


async def test_a_branch_skips_what_it_did_not_choose(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(
        connection,
        dag(
            "d",
            [
                task("pick"),
                task("left", "pick"),
                task("right", "pick"),
                task("deep", "right"),
                task("join", "left", "deep", trigger_rule="none_failed_min_one_success"),
            ],
        ),
    )
    (pick,) = await engine.claim(connection, worker, 1)
    assert await engine.skip_downstream(connection, pick.ref, [("right", -1)])
    assert (await states(connection, run))["deep"] == "skipped"
    await engine.finish(connection, worker, [outcome(pick)])
    assert await drain(connection, worker) == ["left", "join"]
    assert await run_state(connection, run) == "success"


async def test_what_a_branch_did_not_follow_is_skipped_again_when_it_alone_is_cleared(connection: Connection) -> None:
    worker = await new_worker(connection)
    two = over(literal(2))
    tasks = [task("pick"), task("left", "pick"), task("right", "pick", trigger_rule="all_done"), task("deep", "right")]
    run = await run_of(connection, dag("d", [*tasks, task("maps", "pick", mapping=two)]))
    (pick,) = await engine.claim(connection, worker, 9)
    assert await engine.skip_downstream(connection, pick.ref, [("right", -1), ("maps", -1)])
    said = XComValue("skipmixin_key", b'{"followed": ["left"]}')
    await engine.finish(connection, worker, [outcome(pick, xcoms=(said,))])
    await drain(connection, worker)
    await engine.clear_tasks(connection, "d", run.run_id, ["left", "right", "maps"], downstream=True)
    assert await drain(connection, worker) == ["left"]
    skipped = {name for name, state in (await instances(connection, run)).items() if state == "skipped"}
    assert skipped == {"right", "deep", "maps[0]", "maps[1]"}
    await engine.clear_tasks(connection, "d", run.run_id, ["pick"], downstream=True)
    assert "right" in await drain(connection, worker), "a branch that runs again decides anew"


@pytest.mark.parametrize("width", [2, 100])
async def test_a_short_circuit_that_skips_everything_ends_the_run_only_with_itself(
    connection: Connection, width: int
) -> None:
    worker = await new_worker(connection)
    names = [f"t{i}" for i in range(width)]
    run = await run_of(connection, dag("d", [task("gate"), *(task(name, "gate") for name in names)]))
    (gate,) = await engine.claim(connection, worker, 1)
    await engine.skip_downstream(connection, gate.ref, [(name, -1) for name in names])
    assert await run_state(connection, run) == "running"
    await engine.finish(connection, worker, [outcome(gate)])
    assert await run_state(connection, run) == "success"
    assert not await engine.skip_downstream(connection, engine.AttemptRef(run.run_key, 0, -1, uuid4()), [])


async def test_fail_fast_stops_the_rest(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a"), task("b"), task("c", "b")], fail_fast=True))
    a, b = await engine.claim(connection, worker, 10)
    await engine.finish(connection, worker, [outcome(a, "failed")])
    assert await states(connection, run) == {"a": "failed", "b": "failed", "c": "skipped"}
    assert await run_state(connection, run) == "failed"
    assert await engine.lost_attempts(connection, worker, [b.ref]) == [b.attempt_id]


async def test_too_many_failures_in_a_row_pause_the_dag(connection: Connection) -> None:
    worker = await new_worker(connection)
    spec = dag("d", [task("a")], max_consecutive_failed_dag_runs=2)
    for _ in range(2):
        assert not await scalar(connection, "select coalesce(bool_or(is_paused), false) from leoflow.dags")
        await run_of(connection, spec)
        await drain(connection, worker, {"a": "failed"})
    assert await scalar(connection, "select is_paused from leoflow.dags")


async def test_a_lost_worker_s_attempts_run_elsewhere_without_spending_retries(connection: Connection) -> None:
    dead, alive = await new_worker(connection), await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a", retries=1, retry_delay_seconds=0.0)]))
    (lost,) = await engine.claim(connection, dead, 1)
    assert await engine.reap(connection) == 0
    await connection.execute(
        "update leoflow_core.worker set lease_until = clock_timestamp() where worker_key = %s", (dead,)
    )
    assert not await engine.heartbeat(connection, dead)
    assert await engine.reap(connection) == 1
    (again,) = await engine.claim(connection, alive, 1)
    assert (again.try_number, again.max_tries, again.should_retry) == (2, 2, True)
    assert (await engine.finish(connection, dead, [outcome(lost)])).stale == [lost.attempt_id]
    assert not await engine.put_xcom(connection, lost.ref, "late", b"1")
    with pytest.raises(psycopg.Error) as error:
        await engine.claim(connection, dead, 1)
    assert error.value.sqlstate == "LF410"
    await engine.finish(connection, alive, [outcome(again)])
    assert await run_state(connection, run) == "success"


async def test_placing_again_is_bounded(connection: Connection) -> None:
    run = await run_of(connection, dag("d", [task("a", retries=5)]))
    for _ in range(4):
        worker = await engine.register_worker(connection, hostname="h", pid=1, slots=1, lease=timedelta(seconds=5))
        (one,) = await engine.claim(connection, worker, 1)
        await engine.retire_worker(connection, worker)
        assert await engine.reap(connection) == 1
    assert one.try_number == 4
    assert await run_state(connection, run) == "failed"


async def test_a_claimed_attempt_that_never_starts_is_placed_again(connection: Connection) -> None:
    worker = await new_worker(connection)
    await connection.execute("update leoflow_core.setting set value = '0' where key = 'queued_timeout_seconds'")
    await run_of(connection, dag("d", [task("a"), task("b")]))
    one, two = await engine.claim(connection, worker, 2, start=False)
    assert one.state == "queued"
    assert await engine.start(connection, worker, [two.ref], pids=[42], hostname="pod") == []
    assert await engine.reap(connection) == 1
    assert await engine.start(connection, worker, [one.ref]) == [one.attempt_id]


async def test_a_draining_worker_gives_its_attempts_back(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("a")]))
    for number in range(1, 6):
        (one,) = await engine.claim(connection, worker, 1)
        assert one.try_number == number
        assert await engine.release(connection, worker, [one.ref], is_drain=True) == []


async def test_a_reported_retry_is_made_as_long_as_tries_are_left(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a", retries=1, retry_delay_seconds=0.0)]))
    for state in ("scheduled", "failed"):
        [attempt] = await engine.claim(connection, worker, 1)
        await engine.finish(connection, worker, [outcome(attempt, "up_for_retry")])
        assert await states(connection, run) == {"a": state}
