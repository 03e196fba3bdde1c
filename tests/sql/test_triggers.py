"""Deferral: an instance waits for its trigger and goes on, ends, times out, or is taken out of its hands."""

from datetime import timedelta

import psycopg
import pytest

from leoflow import engine
from leoflow.engine import ClaimedAttempt, ClaimedTrigger, CreatedRun, Deferral, Firing
from tests.sql.dags import (
    Connection,
    chain,
    dag,
    new_worker,
    outcome,
    run_of,
    run_state,
    scalar,
    states,
    task,
)

pytestmark = pytest.mark.anyio

LEASE = timedelta(seconds=30)
WAIT = Deferral("some.Trigger", {"moment": 1}, "resume", {"kept": "yes"})


async def new_triggerer(conn: Connection, pid: int = 1, lease: timedelta = LEASE) -> int:
    return await engine.register_triggerer(conn, hostname="test", pid=pid, lease=lease)


async def lost(conn: Connection, triggerer: int, trigger: ClaimedTrigger) -> list[int]:
    """What a triggerer that runs one trigger learns from its beat."""
    beat = await engine.triggerer_beat(conn, triggerer, LEASE, [trigger.key], [])
    assert beat is not None and beat.lost_watchers == []
    return beat.lost


async def defer(conn: Connection, worker: int, attempt: ClaimedAttempt, deferral: Deferral = WAIT) -> None:
    await engine.defer(conn, [(attempt.ref, deferral)])
    result = await engine.finish(conn, worker, [outcome(attempt, "deferred")])
    assert not result.stale


async def deferred(
    conn: Connection, deferral: Deferral = WAIT, **fields: object
) -> tuple[int, CreatedRun, ClaimedAttempt]:
    """A run of two tasks whose first one waits."""
    worker = await new_worker(conn)
    run = await run_of(conn, dag("d", [task("wait", **fields), task("after", "wait")]))
    (attempt,) = await engine.claim(conn, worker, 10)
    await defer(conn, worker, attempt, deferral)
    return worker, run, attempt


async def claimed(conn: Connection, triggerer: int) -> ClaimedTrigger:
    (trigger,) = await engine.claim_triggers(conn, triggerer, 10)
    return trigger


async def expire_lease(conn: Connection, triggerer: int) -> None:
    await conn.execute(
        "update leoflow_core.process set lease_until = clock_timestamp() - interval '1 second' where process_key = %s",
        (triggerer,),
    )


async def test_an_event_resumes_the_instance_with_the_same_try(connection: Connection) -> None:
    worker, run, attempt = await deferred(connection)
    assert await states(connection, run) == {"wait": "deferred", "after": None}
    assert await scalar(connection, "select count(*) from leoflow_core.gate_token") == 0
    assert await engine.claim(connection, worker, 10) == []
    triggerer = await new_triggerer(connection)
    trigger = await claimed(connection, triggerer)
    assert (trigger.classpath, trigger.kwargs, trigger.attempt.task_id) == ("some.Trigger", {"moment": 1}, "wait")
    assert trigger.attempt.ref == attempt.ref
    assert await engine.fire_triggers(connection, triggerer, [Firing(trigger.key, "event", {"x": 2})]) == 1
    (again,) = await engine.claim(connection, worker, 10)
    assert (again.try_number, again.next_method) == (attempt.try_number, "resume")
    assert again.next_kwargs == {"kept": "yes", "event": {"x": 2}}
    assert again.attempt_id != attempt.attempt_id
    assert again.start_date == attempt.start_date
    await engine.finish(connection, worker, [outcome(again)])
    assert await states(connection, run) == {"wait": "success", "after": "scheduled"}
    assert await scalar(connection, "select count(*) from leoflow_core.trigger") == 0


async def test_xcoms_pushed_before_the_deferral_are_kept_after_it(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, chain("d", "wait"))
    (attempt,) = await engine.claim(connection, worker, 10)
    await engine.put_xcom(connection, attempt.ref, "before", b"1")
    await defer(connection, worker, attempt)
    triggerer = await new_triggerer(connection)
    await engine.fire_triggers(connection, triggerer, [Firing((await claimed(connection, triggerer)).key, "event")])
    await engine.claim(connection, worker, 10)
    assert await scalar(connection, "select count(*) from leoflow_core.xcom where key = 'before'") == 1


async def test_an_instance_may_defer_again(connection: Connection) -> None:
    worker, _, _ = await deferred(connection)
    triggerer = await new_triggerer(connection)
    for round_number in range(3):
        trigger = await claimed(connection, triggerer)
        await engine.fire_triggers(connection, triggerer, [Firing(trigger.key, "event", round_number)])
        (again,) = await engine.claim(connection, worker, 10)
        assert (again.try_number, again.next_kwargs["event"]) == (1, round_number)
        await defer(connection, worker, again)


async def test_a_failed_trigger_resumes_in_order_to_fail_and_a_retry_starts_afresh(connection: Connection) -> None:
    worker, _, _ = await deferred(connection, retries=1, retry_delay_seconds=0)
    triggerer = await new_triggerer(connection)
    trigger = await claimed(connection, triggerer)
    failure = {"error": "Trigger failure", "traceback": ["boom"]}
    await engine.fire_triggers(connection, triggerer, [Firing(trigger.key, "failed_trigger", failure)])
    (again,) = await engine.claim(connection, worker, 10)
    assert (again.next_method, again.next_kwargs, again.should_retry) == ("__fail__", failure, True)
    await engine.finish(connection, worker, [outcome(again, "failed")])
    (retry,) = await engine.claim(connection, worker, 10)
    assert (retry.try_number, retry.next_method, retry.next_kwargs) == (2, None, None)


@pytest.mark.parametrize(
    ("end", "after", "run_ends"),
    [("success", "scheduled", "running"), ("failed", "upstream_failed", "failed"), ("skipped", "skipped", "success")],
)
async def test_a_trigger_may_end_the_instance_without_a_worker(
    connection: Connection, end: str, after: str, run_ends: str
) -> None:
    _, run, _ = await deferred(connection, retries=3)
    triggerer = await new_triggerer(connection)
    trigger = await claimed(connection, triggerer)
    firing = Firing(trigger.key, end, None, (("return_value", b'"done"'),))
    assert await engine.fire_triggers(connection, triggerer, [firing]) == (1 if end == "success" else 0)
    assert await states(connection, run) == {"wait": end, "after": after}
    assert await run_state(connection, run) == run_ends
    assert await scalar(connection, "select convert_from(value, 'UTF8') from leoflow_core.xcom") == '"done"'


async def test_a_batch_tells_each_instance_its_own_event(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task(f"t{n}") for n in range(6)]))
    attempts = await engine.claim(connection, worker, 10)
    await engine.defer(connection, [(a.ref, Deferral("t.T", {"id": a.task_id}, "go", {})) for a in attempts])
    await engine.finish(connection, worker, [outcome(a, "deferred") for a in attempts])
    triggerer = await new_triggerer(connection)
    triggers = await engine.claim_triggers(connection, triggerer, 10)
    assert all(t.kwargs["id"] == t.attempt.task_id for t in triggers)
    ends = triggers[:2]
    firings = [Firing(t.key, "event", t.attempt.task_id) for t in reversed(triggers[2:])]
    firings += [Firing(t.key, "success", None, (("k", t.attempt.task_id.encode()),)) for t in ends]
    firings.insert(1, Firing(987654321, "event", "nobody"))
    assert await engine.fire_triggers(connection, triggerer, firings) == 4
    again = await engine.claim(connection, worker, 10)
    assert {a.task_id: a.next_kwargs["event"] for a in again} == {
        t.attempt.task_id: t.attempt.task_id for t in triggers[2:]
    }
    cursor = await connection.execute("select task_idx, convert_from(value, 'UTF8') from leoflow_core.xcom")
    assert dict(await cursor.fetchall()) == {t.attempt.task_idx: t.attempt.task_id for t in ends}


async def test_a_timeout_resumes_in_order_to_fail(connection: Connection) -> None:
    worker, _, _ = await deferred(connection, Deferral("t.T", {}, "go", {}, timeout_seconds=0.0))
    triggerer = await new_triggerer(connection)
    trigger = await claimed(connection, triggerer)
    assert await engine.promote_due(connection) == 1
    (again,) = await engine.claim(connection, worker, 10)
    assert (again.next_method, again.next_kwargs) == ("__fail__", {"error": "Trigger timeout"})
    assert await lost(connection, triggerer, trigger) == [trigger.key]
    assert await engine.fire_triggers(connection, triggerer, [Firing(trigger.key, "event", 1)]) == 0


async def test_an_instance_without_a_timeout_leaves_the_timers_alone(connection: Connection) -> None:
    await deferred(connection)
    assert await engine.next_due(connection) is None
    assert await engine.promote_due(connection) == 0


@pytest.mark.parametrize("how", ["clear", "mark", "cancel", "delete"])
async def test_what_takes_the_instance_away_drops_its_trigger(connection: Connection, how: str) -> None:
    _, run, _ = await deferred(connection)
    triggerer = await new_triggerer(connection)
    trigger = await claimed(connection, triggerer)
    if how == "clear":
        await engine.clear_tasks(connection, "d", run.run_id)
    elif how == "mark":
        await engine.mark_tasks(connection, "d", run.run_id, ["wait"], "success")
    elif how == "cancel":
        await engine.cancel_run(connection, "d", run.run_id)
    else:
        await engine.delete_run(connection, "d", run.run_id)
    assert await engine.fire_triggers(connection, triggerer, [Firing(trigger.key, "event", 1)]) == 0
    assert await lost(connection, triggerer, trigger) == [trigger.key]
    assert await scalar(connection, "select count(*) from leoflow_core.trigger") == 0


async def test_a_trigger_nothing_waits_for_is_never_given_out(connection: Connection) -> None:
    _, run, _ = await deferred(connection)
    await engine.cancel_run(connection, "d", run.run_id)
    triggerer = await new_triggerer(connection)
    assert await engine.claim_triggers(connection, triggerer, 10) == []
    assert await scalar(connection, "select count(*) from leoflow_core.trigger") == 0


async def test_a_deferral_that_was_only_written_ahead_means_nothing(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, chain("d", "wait"))
    (attempt,) = await engine.claim(connection, worker, 10)
    await engine.defer(connection, [(attempt.ref, WAIT)])
    triggerer = await new_triggerer(connection)
    assert await engine.claim_triggers(connection, triggerer, 10) == []
    await engine.finish(connection, worker, [outcome(attempt)])
    assert await engine.claim_triggers(connection, triggerer, 10) == []


async def test_a_lost_triggerers_triggers_go_to_another_and_it_can_say_nothing_more(connection: Connection) -> None:
    worker, _, _ = await deferred(connection)
    first = await new_triggerer(connection, 1)
    trigger = await claimed(connection, first)
    second = await new_triggerer(connection, 2)
    assert await engine.claim_triggers(connection, second, 10) == []
    await expire_lease(connection, first)
    assert (await claimed(connection, second)).key == trigger.key
    assert await engine.triggerer_beat(connection, first, LEASE, [trigger.key], []) is None
    with pytest.raises(psycopg.Error) as refused:
        await engine.claim_triggers(connection, first, 10)
    assert refused.value.sqlstate == "LF410"
    assert await engine.fire_triggers(connection, first, [Firing(trigger.key, "event", "late")]) == 0
    assert await engine.fire_triggers(connection, second, [Firing(trigger.key, "event", "right")]) == 1
    assert await engine.fire_triggers(connection, second, [Firing(trigger.key, "event", "twice")]) == 0
    (again,) = await engine.claim(connection, worker, 10)
    assert again.next_kwargs["event"] == "right"


async def test_a_triggerer_that_retires_or_comes_back_lets_go(connection: Connection) -> None:
    await deferred(connection)
    first = await new_triggerer(connection, 1)
    trigger = await claimed(connection, first)
    assert await lost(connection, first, trigger) == []
    await engine.retire_triggerer(connection, first)
    second = await new_triggerer(connection, 2)
    assert (await claimed(connection, second)).key == trigger.key
    assert await new_triggerer(connection, 2) == second
    assert (await claimed(connection, second)).key == trigger.key


async def test_queues_are_served_by_who_asks_for_them(connection: Connection) -> None:
    await deferred(connection, Deferral("t.T", {}, "go", {}, queue="slow"))
    triggerer = await new_triggerer(connection)
    assert await engine.claim_triggers(connection, triggerer, 10, queues=["fast"]) == []
    assert len(await engine.claim_triggers(connection, triggerer, 10, queues=["fast", "slow"])) == 1


@pytest.mark.parametrize(("includes", "claimable"), [(False, ["other"]), (True, [])])
async def test_a_pool_counts_deferred_instances_when_it_says_so(
    connection: Connection, includes: bool, claimable: list[str]
) -> None:
    worker = await new_worker(connection)
    await connection.execute(
        "insert into leoflow_core.pool (name, slots, include_deferred) values ('one', 1, %s)", (includes,)
    )
    await run_of(connection, dag("d", [task("wait", pool="one"), task("other", pool="one")]))
    (attempt,) = await engine.claim(connection, worker, 1)
    await defer(connection, worker, attempt)
    left = "other" if attempt.task_id == "wait" else "wait"
    found = [one.task_id for one in await engine.claim(connection, worker, 10)]
    assert found == [left for _ in claimable]
    if includes:
        triggerer = await new_triggerer(connection)
        trigger = await claimed(connection, triggerer)
        await engine.fire_triggers(connection, triggerer, [Firing(trigger.key, "success")])
        assert [one.task_id for one in await engine.claim(connection, worker, 10)] == [left]


async def test_a_lost_worker_does_not_lose_what_the_trigger_said(connection: Connection) -> None:
    worker, _, _ = await deferred(connection)
    triggerer = await new_triggerer(connection)
    await engine.fire_triggers(
        connection, triggerer, [Firing((await claimed(connection, triggerer)).key, "event", "told")]
    )
    (again,) = await engine.claim(connection, worker, 10)
    await engine.release(connection, worker, [again.ref])
    (once_more,) = await engine.claim(connection, worker, 10)
    assert (once_more.next_method, once_more.next_kwargs["event"]) == ("resume", "told")
