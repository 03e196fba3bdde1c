"""Backfills in SQL: a year in one statement, limits of their own, over when their runs are."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from leoflow import engine
from leoflow.db.pool import Pool
from tests.sql import invariants
from tests.sql.dags import Connection, chain, dag, drain, new_worker, outcome, run_of, scalar, task, unlimited

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)
START = datetime(2025, 1, 1, tzinfo=UTC)
DAILY = {"type": "cron", "expression": "0 0 * * *", "timezone": "UTC"}


async def backfill(conn: Connection, dag_id: str, days: int, **fields: Any) -> int:
    dates = [START + DAY * number for number in range(days)]
    arguments = {
        "p_dag_id": dag_id,
        "p_from": dates[0],
        "p_to": dates[-1],
        "p_logical_dates": dates,
        "p_interval_ends": [one + DAY for one in dates],
        "p_run_afters": [one + DAY for one in dates],
        **{f"p_{name}": value for name, value in fields.items()},
    }
    names = ", ".join(f"{name} => %({name})s" for name in arguments)
    cursor = await conn.execute(f"select leoflow_core.create_backfill({names})".encode(), arguments)
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def running(conn: Connection, key: int) -> list[str]:
    cursor = await conn.execute(
        "select logical_date::date::text from leoflow.backfill_runs where backfill_id = %s and state = 'running' "
        "order by sort_ordinal",
        (key,),
    )
    return [row[0] for row in await cursor.fetchall()]


async def test_a_year_of_daily_runs_starts_in_order_and_within_its_own_limit(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    spec = dag("d", [task("a")], schedule=DAILY, max_active_runs=1)
    await engine.register_version(connection, spec)
    key = await backfill(connection, "d", 365, max_active_runs=3)
    assert await scalar(connection, "select count(*) from leoflow_core.task_instance") == 365
    own = await engine.create_run(connection, "d", run_id="own")  # does not wait behind the backfill
    first = await engine.claim(connection, worker, 100)
    assert await running(connection, key) == ["2025-01-01", "2025-01-02", "2025-01-03"]
    assert own.run_key in {one.run_key for one in first}
    await invariants.check(connection)
    await engine.finish(connection, worker, [outcome(one) for one in first])
    seen = 3
    while claimed := await engine.claim(connection, worker, 100):
        assert len(claimed) <= 3
        seen += len(claimed)
        await engine.finish(connection, worker, [outcome(one) for one in claimed])
    assert seen == 365
    assert await scalar(connection, "select completed_at is not null from leoflow.backfills") is True
    await invariants.check(connection)


async def test_backwards_starts_the_newest_first_also_when_runs_are_repeated(connection: Connection) -> None:
    worker = await new_worker(connection)
    spec = dag("d", [task("a")], schedule=DAILY)
    await run_of(connection, spec, run_id="old", logical_date=START + DAY)
    await drain(connection, worker, {"a": "failed"})
    key = await backfill(connection, "d", 4, backwards=True, reprocess="failed", max_active_runs=1)
    order = []
    while claimed := await engine.claim(connection, worker, 10):
        order += await running(connection, key)
        await engine.finish(connection, worker, [outcome(one) for one in claimed])
    assert order == ["2025-01-04", "2025-01-03", "2025-01-02", "2025-01-01"]


@pytest.mark.parametrize("catchup", [True, False])
async def test_the_first_run_of_a_backfill_does_not_depend_on_the_past(connection: Connection, catchup: bool) -> None:
    worker = await new_worker(connection)
    spec = dag("d", [task("a", depends_on_past=True)], schedule=DAILY, catchup=catchup)
    before = await run_of(connection, spec, run_type="scheduled", logical_date=START - DAY)
    assert len(await drain(connection, worker, {"a": "failed"})) == 1
    key = await backfill(connection, "d", 2, reprocess="failed", max_active_runs=2)
    (first,) = await engine.claim(connection, worker, 10)
    assert first.run_key != before.run_key
    assert await running(connection, key) == ["2025-01-01", "2025-01-02"]
    await engine.finish(connection, worker, [outcome(first)])
    assert await drain(connection, worker) == ["a"]
    await invariants.check(connection)


async def test_a_backfill_of_runs_that_all_exist_is_over_at_once(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("a")], schedule=DAILY), logical_date=START)
    await drain(connection, worker)
    await backfill(connection, "d", 1)
    assert await scalar(connection, "select completed_at is not null from leoflow.backfills") is True
    assert await scalar(connection, "select exception_reason from leoflow.backfill_runs") == "already exists"


async def test_a_run_made_by_somebody_else_meanwhile_is_in_flight(pool: Pool) -> None:
    async with pool.connection() as mine, pool.connection() as other:
        await engine.register_version(mine, dag("d", [task("a")], schedule=DAILY))
        async with other.transaction():
            await engine.create_run(other, "d", run_id="theirs", logical_date=START + DAY)
            making = asyncio.create_task(backfill(mine, "d", 3))
            while not await scalar(other, "select exists (select from pg_locks where not granted)"):
                await asyncio.sleep(0.01)
        key = await making
        cursor = await mine.execute(
            "select exception_reason from leoflow.backfill_runs where backfill_id = %s order by sort_ordinal", (key,)
        )
        assert await cursor.fetchall() == [(None,), ("in flight",), (None,)]


async def test_two_backfills_at_once_leave_one(pool: Pool) -> None:
    async with pool.connection() as first, pool.connection() as second:
        await engine.register_version(first, dag("d", [task("a")], schedule=DAILY))
        ends = await asyncio.gather(backfill(first, "d", 3), backfill(second, "d", 3), return_exceptions=True)
        refused = [end for end in ends if isinstance(end, psycopg.Error)]
        assert [error.sqlstate for error in refused] == ["LF409"]
        assert await scalar(first, "select count(*) from leoflow_core.dag_run") == 3


async def test_the_last_two_runs_that_end_at_the_same_time_complete_the_backfill(pool: Pool) -> None:
    async with pool.connection() as one, pool.connection() as two:
        await unlimited(one)
        worker = await new_worker(one)
        await engine.register_version(one, dag("d", [task("a")], schedule=DAILY))
        await backfill(one, "d", 2)
        left, right = await engine.claim(one, worker, 10)
        async with one.transaction():
            await engine.finish(one, worker, [outcome(left)])
            ending = asyncio.create_task(engine.finish(two, worker, [outcome(right)]))
            while not await scalar(one, "select exists (select from pg_locks where not granted)"):
                await asyncio.sleep(0.01)
        await ending
        assert await scalar(one, "select completed_at is not null from leoflow.backfills") is True


async def test_no_limit_is_exceeded_by_many_workers_at_once(pool: Pool) -> None:
    async with pool.connection() as conn:
        await unlimited(conn)
        await engine.register_version(conn, chain("d", "a", "b", schedule=DAILY, max_active_runs=2))
        await backfill(conn, "d", 12, max_active_runs=2)
        for number in range(6):
            await engine.create_run(conn, "d", run_id=f"own{number}")

    async def work() -> None:
        async with pool.connection() as conn:
            worker = await new_worker(conn)
            for _ in range(200):
                claimed = await engine.claim(conn, worker, 3)
                if not claimed and not await scalar(
                    conn, "select exists (select from leoflow_core.dag_run where state in ('queued', 'running'))"
                ):
                    return
                await invariants.check(conn)
                await engine.finish(conn, worker, [outcome(one) for one in claimed])

    await asyncio.gather(*(work() for _ in range(4)))
    async with pool.connection() as conn:
        assert await scalar(conn, "select count(*) from leoflow_core.dag_run where state = 'success'") == 18
        assert await scalar(conn, "select completed_at is not null from leoflow.backfills") is True


async def test_deleting_or_marking_the_last_runs_completes_it(connection: Connection) -> None:
    await engine.register_version(connection, dag("d", [task("a")], schedule=DAILY))
    await backfill(connection, "d", 2)
    await engine.delete_run(connection, "d", "backfill__2025-01-02T00:00:00+00:00")
    assert await scalar(connection, "select completed_at from leoflow.backfills") is None
    await engine.set_run_state(connection, "d", "backfill__2025-01-03T00:00:00+00:00", "failed")
    assert await scalar(connection, "select completed_at is not null from leoflow.backfills") is True


async def test_a_backfill_of_too_many_task_instances_is_refused(connection: Connection) -> None:
    await connection.execute("update leoflow_core.setting set value = '5' where key = 'max_backfill_instances'")
    await engine.register_version(connection, chain("d", "a", "b", schedule=DAILY))
    with pytest.raises(psycopg.Error, match="3 runs of 2 tasks are more than the 5"):
        await backfill(connection, "d", 3)


async def test_wide_joins_in_backfilled_runs_count_right(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    trials = [task(f"t{number:03}") for number in range(70)]
    spec = dag("d", [*trials, task("z", *(t["task_id"] for t in trials))], schedule=DAILY, max_active_tasks=1000)
    await engine.register_version(connection, spec)
    await backfill(connection, "d", 2)
    assert (await drain(connection, worker, batch=500))[-2:] == ["z", "z"]
    assert await scalar(connection, "select count(*) from leoflow_core.dag_run where state = 'success'") == 2
