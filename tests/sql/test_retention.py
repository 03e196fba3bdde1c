"""Old logs and XComs go with their partitions, and never what is still needed."""

from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from leoflow import engine
from leoflow.engine import CreatedRun, LogChunk
from tests.sql import dags

pytestmark = pytest.mark.anyio

Connection = AsyncConnection[Any]

_TABLES = ("xcom", "task_log", "task_instance", "task_attempt_history", "dag_run")
_BY_WEEK = """
select leoflow_core.add_partition(
    p.name, p.name || to_char(w.since at time zone 'UTC', '"_"YYYYMMDD'),
    leoflow_core.run_key_at(w.since)::text, leoflow_core.run_key_at(w.since + interval '7 days')::text
)
from (select date_trunc('week', clock_timestamp() - %s, 'UTC') as since) as w
cross join unnest(array['xcom', 'task_log']) as p (name)
where to_regclass(p.name || to_char(w.since at time zone 'UTC', '"leoflow_core._"YYYYMMDD')) is null
"""


async def aged_run(conn: Connection, worker: int, age: timedelta, *, finished: bool = True) -> CreatedRun:
    """A run with XComs and logs as it looks a long time later, in partitions of its week."""
    run = await dags.run_of(conn, dags.chain("aging", "a", "b"))
    if finished:
        await dags.drain(conn, worker)
    await engine.append_log(conn, [LogChunk(run.run_key, index, -1, 1, "{}\n" * 100, 100) for index in (0, 1)])
    cursor = await conn.execute(
        "select %s - (extract(epoch from %s::interval) * 1000)::bigint * 1048576", (run.run_key, age)
    )
    [(key,)] = await cursor.fetchall()
    for table in _TABLES:
        await conn.execute(f"update leoflow_core.{table} set run_key = %s where run_key = %s", (key, run.run_key))
    await conn.execute("update leoflow_core.dag_run set end_date = end_date - %s where run_key = %s", (age, key))
    return CreatedRun(key, run.run_id)


async def count(conn: Connection, table: str, run: CreatedRun) -> int:
    return int(await dags.scalar(conn, f"select count(*) from leoflow_core.{table} where run_key = %s", run.run_key))


async def partitions(conn: Connection) -> int:
    return int(
        await dags.scalar(
            conn, "select count(*) from pg_class where relname ~ '^(xcom|task_log)_[0-9]{8}$' and relkind = 'r'"
        )
    )


async def test_finished_work_goes_with_its_partitions(connection: Connection) -> None:
    worker = await dags.new_worker(connection)
    await engine.maintain_partitions(connection)
    fresh = await partitions(connection)
    ages = [timedelta(days=days) for days in (100, 101, 200, 10)]
    runs = [await aged_run(connection, worker, age) for age in ages]
    for age in (ages[0], ages[2], ages[3]):
        await connection.execute(_BY_WEEK, (age,))
    assert await partitions(connection) > fresh
    assert [await count(connection, "task_log", run) for run in runs] == [2] * 4
    assert await engine.retain(connection, timedelta(days=90)) == 3
    assert [await count(connection, "task_log", run) for run in runs] == [0, 0, 0, 2]
    assert [await count(connection, "xcom", run) for run in runs] == [0, 0, 0, 2]
    left = await partitions(connection) - fresh
    assert left == 2, "only the week of the youngest run is left"


async def test_a_week_of_ended_runs_goes_at_once_whatever_it_holds(connection: Connection) -> None:
    worker = await dags.new_worker(connection)
    age = timedelta(days=100)
    runs = [await aged_run(connection, worker, age) for _ in range(3)]
    await connection.execute(_BY_WEEK, (age,))
    weeks = await partitions(connection)
    removed = [await engine.retain(connection, timedelta(days=90), limit=1) for _ in range(4)]
    assert removed == [1, 1, 1, 0]
    assert await partitions(connection) == weeks - 2
    assert [await count(connection, "dag_run", run) for run in runs] == [0, 0, 0]


async def test_a_call_drops_the_week_of_runs_that_later_calls_delete(connection: Connection) -> None:
    worker = await dags.new_worker(connection)
    age = timedelta(days=100)
    runs = [await aged_run(connection, worker, age) for _ in range(2)]
    await connection.execute(_BY_WEEK, (age,))
    assert await engine.retain(connection, timedelta(days=90), limit=1) == 1
    assert [await count(connection, "dag_run", run) for run in runs] == [0, 1]
    assert [await count(connection, "task_log", run) for run in runs] == [0, 0]


@pytest.mark.parametrize("finished", [True, False], ids=["ended lately", "unfinished"])
async def test_a_run_that_is_needed_keeps_its_week(connection: Connection, finished: bool) -> None:
    worker = await dags.new_worker(connection)
    age = timedelta(days=100)
    old = await aged_run(connection, worker, age)
    kept = await aged_run(connection, worker, age, finished=finished)
    await connection.execute(
        "update leoflow_core.dag_run set end_date = end_date + interval '20 days' where run_key = %s", (kept.run_key,)
    )
    await connection.execute(_BY_WEEK, (age,))
    weeks = await partitions(connection)
    assert await engine.retain(connection, timedelta(days=90)) == 1
    assert await partitions(connection) == weeks
    assert [await count(connection, "task_log", run) for run in (old, kept)] == [0, 2]


async def test_logs_may_go_before_their_runs(connection: Connection) -> None:
    worker = await dags.new_worker(connection)
    age = timedelta(days=40)
    run = await aged_run(connection, worker, age)
    await connection.execute(_BY_WEEK, (age,))
    default = await aged_run(connection, worker, timedelta(days=60))
    young = await aged_run(connection, worker, timedelta(days=5))
    dropped = await dags.scalar(connection, "select leoflow_core.retain_logs(interval '30 days')")
    assert dropped == 1
    assert [await count(connection, "task_log", one) for one in (run, default, young)] == [0, 0, 2]
    assert [await count(connection, "xcom", one) for one in (run, default, young)] == [2, 2, 2]
    assert await dags.run_state(connection, run) == "success"


async def test_logs_of_unfinished_runs_and_logs_to_be_copied_stay(connection: Connection) -> None:
    worker = await dags.new_worker(connection)
    age = timedelta(days=40)
    await connection.execute("update leoflow_core.setting set value = '1' where key = 'copy_logs'")
    waiting = await aged_run(connection, worker, age)
    await connection.execute("update leoflow_core.log_copy set run_key = %s", (waiting.run_key,))
    await connection.execute("update leoflow_core.setting set value = '0' where key = 'copy_logs'")
    await connection.execute(_BY_WEEK, (age,))
    running = await aged_run(connection, worker, timedelta(days=60), finished=False)
    assert await dags.scalar(connection, "select leoflow_core.retain_logs(interval '30 days')") == 0
    assert [await count(connection, "task_log", one) for one in (waiting, running)] == [2, 2]
    await connection.execute("delete from leoflow_core.log_copy")
    assert await dags.scalar(connection, "select leoflow_core.retain_logs(interval '30 days')") == 1
