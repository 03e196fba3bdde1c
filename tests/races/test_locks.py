"""One test per lock: what happens when two sessions meet there."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest

from leoflow import engine
from leoflow.engine import AttemptRef, CreatedRun, Deferral, Firing, Outcome
from tests.races.sessions import Connection, blocked
from tests.sql.dags import chain, dag, drain, new_worker, outcome, run_of, run_state, scalar, states, task, unlimited

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[tuple[Connection, Connection, Connection]]:
    opened = [await psycopg.AsyncConnection.connect(database_url, autocommit=True) for _ in range(3)]
    try:
        yield opened[0], opened[1], opened[2]
    finally:
        for one in opened:
            await one.close()


Sessions = tuple[Connection, Connection, Connection]


async def test_two_claims_at_once_never_share_an_attempt(sessions: Sessions) -> None:
    one, two, three = sessions
    await unlimited(three)
    first, second = await new_worker(three), await new_worker(three)
    await run_of(three, dag("d", [task(f"t{i}") for i in range(10)]))
    async with one.transaction():
        mine = await engine.claim(one, first, 4)
        theirs = await asyncio.wait_for(engine.claim(two, second, 10), 10)  # does not wait for the first
    assert (len(mine), len(theirs)) == (4, 6)
    assert not {a.attempt_id for a in mine} & {a.attempt_id for a in theirs}


async def test_admission_is_one_at_a_time_so_a_pool_is_never_overdrawn(sessions: Sessions) -> None:
    one, two, three = sessions
    await three.execute("update leoflow_core.pool set slots = 3")
    first, second = await new_worker(three), await new_worker(three)
    await run_of(three, dag("d", [task(f"t{i}") for i in range(10)]))
    async with one.transaction():
        mine = await engine.claim(one, first, 2)
        theirs = await blocked(three, two, engine.claim(two, second, 10))
    assert len(mine) + len(await theirs) == 3


async def test_the_last_two_upstreams_at_once_make_their_join_ready_once(sessions: Sessions) -> None:
    one, two, three = sessions
    worker = await new_worker(three)
    run = await run_of(three, dag("d", [task("a"), task("b"), task("join", "a", "b")]))
    a, b = await engine.claim(three, worker, 2)
    async with one.transaction():
        await engine.finish(one, worker, [outcome(a)])
        last = await blocked(three, two, engine.finish(two, worker, [outcome(b)]))
    assert (await last).ready
    assert (await states(three, run))["join"] == "scheduled"


async def test_the_last_two_slots_of_a_wide_join_at_once_make_it_ready_once(sessions: Sessions) -> None:
    one, two, three = sessions
    await unlimited(three)
    worker = await new_worker(three)
    names = [f"t{i:02}" for i in range(80)]
    run = await run_of(three, dag("d", [*(task(n) for n in names), task("z", *names)], max_active_tasks=1000))
    claimed = await engine.claim(three, worker, 100)
    await engine.finish(three, worker, [outcome(a) for a in claimed[:-2]])
    async with one.transaction():
        await engine.finish(one, worker, [outcome(claimed[-2])])
        last = await blocked(three, two, engine.finish(two, worker, [outcome(claimed[-1])]))
    assert (await last).ready
    assert await drain(three, worker) == ["z"]
    assert await run_state(three, run) == "success"


async def test_upstreams_in_different_slots_do_not_wait_for_each_other(sessions: Sessions) -> None:
    one, two, three = sessions
    await unlimited(three)
    worker = await new_worker(three)
    names = [f"t{i:03}" for i in range(160)]
    await run_of(three, dag("d", [*(task(n) for n in names), task("z", *names)], max_active_tasks=1000))
    claimed = await engine.claim(three, worker, 100)
    async with one.transaction():
        await engine.finish(one, worker, [outcome(claimed[0])])
        await asyncio.wait_for(engine.finish(two, worker, [outcome(claimed[1])]), 10)


async def test_a_finish_after_the_reaper_is_stale_and_one_before_it_counts(sessions: Sessions) -> None:
    one, two, three = sessions
    worker = await new_worker(three)
    run = await run_of(three, dag("d", [task("a")]))
    (a,) = await engine.claim(three, worker, 1)
    await three.execute("update leoflow_core.worker set lease_until = clock_timestamp()")
    async with one.transaction():
        assert await engine.reap(one) == 1
        finish = await blocked(three, two, engine.finish(two, worker, [outcome(a)]))
    assert (await finish).stale == [a.attempt_id]
    assert await run_state(three, run) == "running"

    worker = await new_worker(three)
    (a,) = await engine.claim(three, worker, 1)
    await three.execute("update leoflow_core.worker set lease_until = clock_timestamp(), reaped_at = null")
    async with one.transaction():
        await engine.finish(one, worker, [outcome(a)])
        reap = await blocked(three, two, engine.reap(two))
    assert await reap == 0
    assert await run_state(three, run) == "success"


async def test_the_reaper_does_not_overlook_what_a_claim_is_giving_its_worker(sessions: Sessions) -> None:
    one, two, three = sessions
    worker = await engine.register_worker(three, hostname="h", pid=1, slots=1)
    await run_of(three, dag("d", [task("a")]))
    async with one.transaction():
        assert len(await engine.claim(one, worker, 1)) == 1
        await two.execute("update leoflow_core.worker set lease_until = clock_timestamp()")
        assert await engine.reap(two) == 0  # skips the locked worker instead of retiring it
        assert await scalar(two, "select count(*) from leoflow_core.worker where reaped_at is null") == 1
    assert await engine.reap(two) == 1


async def test_clearing_while_the_last_task_finishes_ends_in_one_of_the_two_orders(sessions: Sessions) -> None:
    one, two, three = sessions
    worker = await new_worker(three)
    run = await run_of(three, chain("d", "a", "b"))
    await drain(three, worker, batch=1)
    await engine.clear_tasks(three, "d", run.run_id, ["b"])
    (b,) = await engine.claim(three, worker, 1)
    async with one.transaction():
        await engine.finish(one, worker, [outcome(b)])
        clear = await blocked(three, two, engine.clear_tasks(two, "d", run.run_id, ["b"]))
    await clear
    assert await run_state(three, run) in ("queued", "running")
    assert await drain(three, worker) == ["b"]
    assert await run_state(three, run) == "success"


async def test_the_watermark_is_not_raised_past_a_run_that_is_being_reopened(sessions: Sessions) -> None:
    one, two, three = sessions
    worker = await new_worker(three)
    old = await run_of(three, dag("d", [task("a")]))
    await drain(three, worker)
    await run_of(three, dag("e", [task("b")]))  # the oldest unfinished run
    async with one.transaction():
        await engine.clear_tasks(one, "d", old.run_id)
        refresh = await blocked(three, two, engine.refresh_watermark(two))
    assert await refresh == old.run_key
    assert await scalar(three, "select run_key from leoflow_core.low_watermark") == old.run_key


async def test_cancelling_while_an_attempt_finishes_leaves_no_half(sessions: Sessions) -> None:
    one, two, three = sessions
    worker = await new_worker(three)
    run = await run_of(three, chain("d", "a", "b"))
    (a,) = await engine.claim(three, worker, 1)
    async with one.transaction():
        await engine.cancel_run(one, "d", run.run_id)
        finish = await blocked(three, two, engine.finish(two, worker, [outcome(a)]))
    assert (await finish).stale == [a.attempt_id]
    assert await states(three, run) == {"a": "failed", "b": "skipped"}


async def test_a_late_xcom_waits_for_the_clear_that_makes_it_stale(sessions: Sessions) -> None:
    one, two, three = sessions
    worker = await new_worker(three)
    run = await run_of(three, dag("d", [task("a")]))
    (a,) = await engine.claim(three, worker, 1)
    async with one.transaction():
        await engine.clear_tasks(one, "d", run.run_id)
        put = await blocked(three, two, engine.put_xcom(two, a.ref, "k", b"1"))
    assert not await put


async def test_max_active_runs_holds_when_runs_are_created_at_once(sessions: Sessions) -> None:
    one, two, three = sessions
    spec = dag("d", [task("a")], max_active_runs=1)
    await engine.register_version(three, spec)
    async with one.transaction():
        await engine.create_run(one, "d", run_id="one")
        await asyncio.wait_for(engine.create_run(two, "d", run_id="two"), 10)
    assert await scalar(three, "select count(*) from leoflow_core.dag_run where state = 'running'") == 1
    worker = await new_worker(three)
    assert await drain(three, worker) == ["a", "a"]


async def test_unpausing_while_a_claim_puts_instances_aside_loses_none(sessions: Sessions) -> None:
    one, two, three = sessions
    worker = await new_worker(three)
    for slots in (-1, 128):
        await three.execute("update leoflow_core.pool set slots = %s", (slots,))
        name = f"d{slots}"
        await run_of(three, dag(name, [task("a")]))
        await engine.set_paused(three, name, True)
        async with one.transaction():
            assert await engine.claim(one, worker, 5) == []
            unpause = await blocked(three, two, engine.set_paused(two, name, False))
        await unpause
        assert await drain(three, worker) == ["a"]


async def test_a_heartbeat_does_not_wait_for_a_claim_or_a_finish_in_progress(sessions: Sessions) -> None:
    one, two, three = sessions
    worker = await new_worker(three)
    await run_of(three, chain("d", "a", "b"))
    async with one.transaction():
        (a,) = await engine.claim(one, worker, 1)
        assert await asyncio.wait_for(engine.heartbeat(two, worker), 10)
    async with one.transaction():
        await engine.finish(one, worker, [outcome(a)], handoff=1)
        assert await asyncio.wait_for(engine.heartbeat(two, worker), 10)


async def test_registering_the_same_content_at_once_makes_one_version(sessions: Sessions) -> None:
    one, two, three = sessions
    async with one.transaction():
        first = await engine.register_version(one, chain("d", "a"))
        second = await blocked(three, two, engine.register_version(two, chain("d", "a")))
    assert (first.is_new, (await second).is_new) == (True, False)


async def test_many_workers_on_many_runs_run_everything_exactly_once(database_url: str) -> None:
    """Eight workers, crossing joins, batches of every size: no attempt twice, every run ends, deadlocks are retried."""
    from leoflow.db import retry_transient

    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as setup:
        layers = [[f"t{layer}{i}" for i in range(8)] for layer in range(4)]
        tasks = [task(name) for name in layers[0]]
        for above, below in itertools.pairwise(layers):
            tasks += [task(name, *above, trigger_rule="all_done") for name in below]
        for number in range(6):
            await run_of(setup, dag("d", tasks, max_active_tasks=20), run_id=f"r{number}")
        started: list[AttemptRef] = []

        async def work(number: int) -> None:
            async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
                worker = await new_worker(conn)
                while await scalar(conn, "select count(*) from leoflow_core.dag_run where state <> 'success'"):
                    held = await retry_transient(lambda: engine.claim(conn, worker, 1 + number))
                    while held:
                        started.extend(one.ref for one in held)
                        ends = [
                            Outcome(one.ref, "failed" if one.task_idx % 5 == 0 and one.task_idx < 24 else "success")
                            for one in held
                        ]
                        held = (await retry_transient(lambda e=ends: engine.finish(conn, worker, e, handoff=2))).handed

        await asyncio.wait_for(asyncio.gather(*(work(number) for number in range(8))), 200)
        assert len(started) == len({one.attempt_id for one in started}) == 6 * 32
        assert await scalar(setup, "select count(*) from leoflow_core.gate_token") == 0


async def ended_run(conn: Connection) -> CreatedRun:
    worker = await new_worker(conn)
    run = await run_of(conn, dag("d", [task("a"), task("b", "a")]))
    await drain(conn, worker)
    await conn.execute("update leoflow_core.setting set value = '-1' where key = 'history_after_seconds'")
    return run


async def test_a_clear_waits_for_the_move_to_history_and_brings_the_run_back(sessions: Sessions) -> None:
    one, two, three = sessions
    run = await ended_run(three)
    async with one.transaction():
        assert await engine.archive_runs(one) == 1
        clearing = await blocked(three, two, engine.clear_tasks(two, "d", run.run_id))
    assert len(await clearing) == 2
    assert await drain(three, await new_worker(three)) == ["a", "b"]


async def test_the_move_to_history_leaves_a_run_alone_that_is_being_cleared(sessions: Sessions) -> None:
    one, two, three = sessions
    run = await ended_run(three)
    async with one.transaction():
        await engine.clear_tasks(one, "d", run.run_id, ["b"])
        assert await engine.archive_runs(two) == 0
    assert await drain(three, await new_worker(three)) == ["b"]
    assert await engine.archive_runs(two) == 1


async def test_the_move_to_history_does_not_wait_behind_someone_who_holds_an_instance(sessions: Sessions) -> None:
    one, two, three = sessions
    await ended_run(three)
    async with one.transaction():
        await one.execute("select from leoflow_core.task_instance for share")
        assert await asyncio.wait_for(engine.archive_runs(two), 5) == 0
    assert await engine.archive_runs(two) == 1


async def test_two_movers_to_history_at_once_move_each_run_once(sessions: Sessions) -> None:
    one, two, three = sessions
    await ended_run(three)
    async with one.transaction():
        assert await engine.archive_runs(one) == 1
        assert await engine.archive_runs(two) == 0
    assert await scalar(three, "select count(*) from leoflow_core.task_instance_history") == 2


async def test_two_triggerers_at_once_never_share_a_trigger(sessions: Sessions) -> None:
    one, two, three = sessions
    await unlimited(three)
    worker = await new_worker(three)
    await run_of(three, dag("d", [task(f"t{i}") for i in range(10)]))
    attempts = await engine.claim(three, worker, 10)
    await engine.defer(three, [(a.ref, Deferral("t.T", {}, "go", {})) for a in attempts])
    await engine.finish(three, worker, [outcome(a, "deferred") for a in attempts])
    lease = timedelta(seconds=30)
    first = await engine.register_triggerer(three, hostname="one", pid=1, lease=lease)
    second = await engine.register_triggerer(three, hostname="two", pid=1, lease=lease)
    async with one.transaction():
        mine = await engine.claim_triggers(one, first, 4)
        theirs = await asyncio.wait_for(engine.claim_triggers(two, second, 10), 10)  # does not wait for the first
    assert (len(mine), len(theirs)) == (4, 6)
    assert not {t.key for t in mine} & {t.key for t in theirs}


@pytest.mark.parametrize("fires_first", [True, False])
async def test_an_event_and_a_cancellation_at_once_have_one_winner(sessions: Sessions, fires_first: bool) -> None:
    one, two, three = sessions
    await unlimited(three)
    worker = await new_worker(three)
    run = await run_of(three, chain("d", "wait"))
    (attempt,) = await engine.claim(three, worker, 1)
    await engine.defer(three, [(attempt.ref, Deferral("t.T", {}, "go", {}))])
    await engine.finish(three, worker, [outcome(attempt, "deferred")])
    triggerer = await engine.register_triggerer(three, hostname="one", pid=1, lease=timedelta(seconds=30))
    (trigger,) = await engine.claim_triggers(three, triggerer, 1)

    async def fire(session: Connection) -> int:
        return await engine.fire_triggers(session, triggerer, [Firing(trigger.key, "success")])

    async def cancel(session: Connection) -> None:
        await engine.cancel_run(session, "d", run.run_id)

    async with one.transaction():
        await (fire(one) if fires_first else cancel(one))
        other = await blocked(three, two, cancel(two) if fires_first else fire(two))
    await other
    assert await states(three, run) == {"wait": "success" if fires_first else "failed"}
    assert await scalar(three, "select count(*) from leoflow_core.trigger") == 0
