"""Which events ask for which callbacks, and which deadlines a run has: rows written in the transaction of the event."""

from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from leoflow import engine
from tests.sql.dags import chain, dag, drain, new_worker, outcome, run_of, scalar, task, unlimited

pytestmark = pytest.mark.anyio

Connection = AsyncConnection[Any]
CALLS = {"has_on_success_callback": True, "has_on_failure_callback": True}
TASK_CALLS = {"has_on_failure_callback": True, "has_on_retry_callback": True}


async def requests(conn: Connection) -> list[tuple[Any, ...]]:
    """Kind, task and reason of what the outbox holds."""
    cursor = await conn.execute(
        "select o.kind, k.task_id, o.payload ->> 'reason' from leoflow_core.outbox o"
        " join leoflow_core.dag_run r using (run_key)"
        " left join leoflow_core.task k on k.version_key = r.version_key and k.task_idx = o.task_idx"
        " order by o.outbox_key"
    )
    return await cursor.fetchall()


async def deadlines(conn: Connection) -> list[tuple[Any, ...]]:
    cursor = await conn.execute(
        "select l.alert_idx, l.missed from leoflow_core.deadline l order by l.run_key, l.alert_idx"
    )
    return await cursor.fetchall()


def alert(reference: str, seconds: float = 0.0, **fields: Any) -> dict[str, Any]:
    callback = {"type": "SyncCallback", "path": "dag.late", "kwargs": {}}
    return {
        "reference": {"reference_type": reference, **fields},
        "interval_seconds": seconds,
        "callback": callback,
    }


async def test_a_run_without_callbacks_leaves_nothing(connection: Connection) -> None:
    await unlimited(connection)
    await run_of(connection, chain("plain", "a", "b"))
    await drain(connection, await new_worker(connection))
    assert await requests(connection) == []


async def test_the_end_of_a_run_asks_with_the_task_that_ended_last(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    await run_of(connection, chain("good", "a", "b", **CALLS))
    await drain(connection, worker)
    await run_of(connection, chain("bad", "a", "b", "c", **CALLS))
    await drain(connection, worker, {"b": "failed"})
    assert await requests(connection) == [("dag_success", "b", "success"), ("dag_failure", "b", "task_failure")]


async def test_only_the_callbacks_the_dag_has_are_asked_for(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    await run_of(connection, chain("good", "a", has_on_failure_callback=True))
    await run_of(connection, chain("bad", "a", has_on_success_callback=True))
    for _ in range(2):
        claimed = await engine.claim(connection, worker, 1)
        await engine.finish(
            connection, worker, [outcome(claimed[0], "failed" if claimed[0].dag_id == "bad" else "success")]
        )
    assert await requests(connection) == []


async def test_a_run_without_tasks_succeeds_and_asks_at_once(connection: Connection) -> None:
    await run_of(connection, dag("empty", [], **CALLS))
    assert await requests(connection) == [("dag_success", None, "success")]


async def test_a_queued_run_without_tasks_asks_when_it_starts(connection: Connection) -> None:
    await engine.register_version(connection, dag("empty", [], **CALLS))
    await engine.set_paused(connection, "empty", True)
    await engine.create_run(connection, "empty", run_id="one")
    assert await requests(connection) == []
    await engine.set_paused(connection, "empty", False)
    await engine.promote_due(connection)
    assert await requests(connection) == [("dag_success", None, "success")]


async def test_a_rolled_back_end_asks_for_nothing(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    await run_of(connection, chain("good", "a", **CALLS))
    [claimed] = await engine.claim(connection, worker, 1)
    async with connection.transaction(force_rollback=True):
        await engine.finish(connection, worker, [outcome(claimed)])
        assert len(await requests(connection)) == 1
    assert await requests(connection) == []


async def test_a_run_that_times_out_asks_with_the_task_that_started_last(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    run = await run_of(connection, chain("slow", "a", "b", "c", dagrun_timeout_seconds=60, **CALLS))
    [first] = await engine.claim(connection, worker, 1)
    await engine.finish(connection, worker, [outcome(first)])
    await engine.claim(connection, worker, 1)
    await connection.execute(
        "update leoflow_core.dag_run set start_date = clock_timestamp() - interval '61 s' where run_key = %s",
        (run.run_key,),
    )
    assert await scalar(connection, "select leoflow_core.expire_runs()") == 1
    assert await requests(connection) == [("dag_failure", "b", "timed_out")]


async def test_an_operators_hand_asks_for_nothing(connection: Connection) -> None:
    await unlimited(connection)
    run = await run_of(connection, chain("good", "a", **CALLS))
    await connection.execute("select leoflow.cancel_run('good', %s)", (run.run_id,))
    assert await requests(connection) == []


async def test_a_task_whose_worker_is_lost_for_good_asks_for_its_callback(connection: Connection) -> None:
    await unlimited(connection)
    await connection.execute("update leoflow_core.setting set value = '0' where key = 'max_infra_retries'")
    await run_of(connection, dag("lost", [task("a", **TASK_CALLS), task("b", "a")], **CALLS))
    worker = await new_worker(connection)
    await engine.claim(connection, worker, 1)
    await connection.execute("update leoflow_core.worker set lease_until = clock_timestamp() - interval '1 s'")
    await connection.execute("select leoflow_core.reap()")
    assert await requests(connection) == [
        ("task_failure", "a", "the worker was lost"),
        ("dag_failure", "a", "task_failure"),
    ]


async def test_a_task_that_is_placed_again_asks_for_nothing(connection: Connection) -> None:
    await unlimited(connection)
    await run_of(connection, dag("lost", [task("a", **TASK_CALLS)], **CALLS))
    worker = await new_worker(connection)
    await engine.claim(connection, worker, 1)
    await connection.execute("update leoflow_core.worker set lease_until = clock_timestamp() - interval '1 s'")
    await connection.execute("select leoflow_core.reap()")
    assert await requests(connection) == []


async def test_a_task_whose_process_said_nothing_asks_for_what_it_could_not_call(connection: Connection) -> None:
    await unlimited(connection)
    retried = task("retried", retries=1, retry_delay_seconds=0, **TASK_CALLS)
    plain = task("plain")
    await run_of(connection, dag("killed", [task("a", **TASK_CALLS), plain, retried, task("told", **TASK_CALLS)]))
    worker = await new_worker(connection)
    outcomes = [
        outcome(one, "failed", is_silent=one.task_id != "told") for one in await engine.claim(connection, worker, 9)
    ]
    await engine.finish(connection, worker, outcomes)
    why = "the process ended without a report"
    assert await requests(connection) == [("task_failure", "a", why), ("task_retry", "retried", why)]
    assert (await engine.finish(connection, worker, outcomes)).stale
    assert len(await requests(connection)) == 2


async def test_a_killed_task_that_was_cleared_or_marked_meanwhile_asks_for_nothing(connection: Connection) -> None:
    await unlimited(connection)
    run = await run_of(connection, dag("killed", [task("a", **TASK_CALLS), task("b", **TASK_CALLS)]))
    worker = await new_worker(connection)
    claimed = await engine.claim(connection, worker, 9)
    await engine.clear_tasks(connection, "killed", run.run_id, ["a"])
    await engine.mark_tasks(connection, "killed", run.run_id, ["b"], "failed")
    await engine.finish(connection, worker, [outcome(one, "failed", is_silent=True) for one in claimed])
    assert await requests(connection) == []


async def test_the_pump_moves_each_request_into_one_job(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    for number in range(3):
        await run_of(connection, chain(f"d{number}", "a", **CALLS))
    await drain(connection, worker)
    assert await scalar(connection, "select leoflow_core.pump_outbox(2)") == 2
    assert await scalar(connection, "select leoflow_core.pump_outbox(2)") == 1
    assert await scalar(connection, "select leoflow_core.pump_outbox(2)") == 0
    cursor = await connection.execute(
        "select task_name, queue_name, args ->> 'kind' from procrastinate.procrastinate_jobs order by id"
    )
    assert await cursor.fetchall() == [("callback", "leoflow", "dag_success")] * 3
    cursor = await connection.execute("select callback, dag_id, task_id, state from leoflow.callbacks order by dag_id")
    assert await cursor.fetchall() == [("on_success_callback", f"d{n}", "a", "waiting") for n in range(3)]


async def test_each_reference_gives_its_deadline(connection: Connection) -> None:
    references = [
        alert("DagRunLogicalDateDeadline", 60),
        alert("DagRunQueuedAtDeadline", 60),
        alert("FixedDatetimeDeadline", 60, datetime=1_800_000_000.0),
        alert("AverageRuntimeDeadline", 60, max_runs=2, min_runs=1),
        alert("AcmeDeadline", 60),
    ]
    spec = dag("due", [task("a")], deadlines=references)
    await run_of(connection, spec)
    assert [index for index, _ in await deadlines(connection)] == [1, 2], "no logical date, no earlier run"
    await connection.execute(
        "update leoflow_core.dag_run set start_date = '2026-01-01 00:00Z', end_date = '2026-01-01 00:10Z'"
    )
    run = await engine.create_run(connection, "due", run_id="two", logical_date="2026-05-01T00:00:00Z")  # type: ignore[arg-type]
    cursor = await connection.execute(
        "select l.alert_idx, extract(epoch from l.deadline_time - case l.alert_idx when 0 then r.logical_date"
        " when 2 then to_timestamp(1800000000) else r.queued_at end)::float8"
        " from leoflow_core.deadline l join leoflow_core.dag_run r using (run_key) where run_key = %s order by 1",
        (run.run_key,),
    )
    found = dict(await cursor.fetchall())
    assert {index: round(seconds) for index, seconds in found.items()} == {0: 60, 1: 60, 2: 60, 3: 660}


async def test_a_missed_deadline_is_asked_for_once(connection: Connection) -> None:
    await unlimited(connection)
    await run_of(connection, dag("due", [task("a")], deadlines=[alert("DagRunQueuedAtDeadline", -1)]))
    assert await scalar(connection, "select leoflow_core.miss_deadlines()") == 1
    assert await scalar(connection, "select leoflow_core.miss_deadlines()") == 0
    assert await requests(connection) == [("deadline", None, None)]
    assert await deadlines(connection) == [(0, True)]


async def test_a_successful_run_drops_the_deadlines_it_kept_and_a_failed_one_does_not(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    kept = [alert("DagRunQueuedAtDeadline", 3600)]
    await run_of(connection, dag("good", [task("a")], deadlines=kept))
    await drain(connection, worker)
    assert await deadlines(connection) == []
    await run_of(connection, dag("bad", [task("a")], deadlines=kept))
    await drain(connection, worker, {"a": "failed"})
    assert await deadlines(connection) == [(0, False)]


@pytest.mark.parametrize("again", ["clear", "backfill"])
async def test_a_run_that_is_queued_again_has_its_deadlines_and_callbacks_again(
    connection: Connection, again: str
) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    date = "2025-01-01T00:00:00Z"
    alerts = [alert("DagRunQueuedAtDeadline", 3600), alert("DagRunLogicalDateDeadline", 10**9)]
    daily = {"type": "cron", "expression": "0 0 * * *", "timezone": "UTC"}
    spec = dag("due", [task("a")], deadlines=alerts, schedule=daily, **CALLS)
    run = await run_of(connection, spec, logical_date=date)
    await drain(connection, worker, {"a": "failed"})
    before = await times(connection)
    if again == "clear":
        await engine.clear_tasks(connection, "due", run.run_id)
    else:
        await connection.execute(
            "select leoflow_core.create_backfill('due', %(day)s, %(day)s, array[%(day)s::timestamptz],"
            " array[%(day)s::timestamptz], array[%(day)s::timestamptz], 'failed')",
            {"day": date},
        )
    after = await times(connection)
    queued_at = await scalar(connection, "select queued_at from leoflow_core.dag_run")
    assert after[0] > before[0] and abs((after[0] - queued_at).total_seconds() - 3600) < 1
    assert after[1:] == before[1:]
    await drain(connection, worker)
    assert await requests(connection) == [("dag_failure", "a", "task_failure"), ("dag_success", "a", "success")]
    assert await deadlines(connection) == []


async def times(conn: Connection) -> list[Any]:
    cursor = await conn.execute("select l.deadline_time from leoflow_core.deadline l order by l.alert_idx")
    return [row[0] for row in await cursor.fetchall()]


async def test_deadlines_and_requests_go_with_their_run(connection: Connection) -> None:
    run = await run_of(connection, dag("due", [task("a")], deadlines=[alert("DagRunQueuedAtDeadline", -1)]))
    await connection.execute("select leoflow_core.miss_deadlines()")
    await connection.execute("select leoflow.delete_run('due', %s)", (run.run_id,))
    assert await deadlines(connection) == []
    assert await scalar(connection, "select count(*) from leoflow_core.outbox") == 0


async def test_a_run_of_a_type_the_dag_does_not_allow_is_refused(connection: Connection) -> None:
    await engine.register_version(connection, dag("strict", [task("a")], allowed_run_types=["scheduled"]))
    with pytest.raises(psycopg.Error, match="strict does not allow manual runs"):
        await engine.create_run(connection, "strict")
    await engine.create_run(connection, "strict", run_type="scheduled")
