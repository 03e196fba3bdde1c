"""Runs that ended a while ago leave the hot tables; nobody who reads or acts notices."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from leoflow import engine
from leoflow.engine import CreatedRun
from tests.sql.dags import Connection, chain, dag, drain, new_worker, outcome, run_of, run_state, scalar, states, task

pytestmark = pytest.mark.anyio

VIEWS = (
    "leoflow.task_instances",
    "leoflow.task_attempts",
    "leoflow.map_reduce",
    "leoflow_core.api_task_instances",
    "leoflow_core.api_task_tries",
    "leoflow_core.ui_task_try",
    "leoflow_core.all_task_instances",
    "leoflow_core.all_task_instance_extra",
)


async def archive(conn: Connection, limit: int = 20_000) -> int:
    """Move everything that has ended, whenever it did."""
    await conn.execute("update leoflow_core.setting set value = '-1' where key = 'history_after_seconds'")
    return await engine.archive_runs(conn, limit)


async def counts(conn: Connection) -> tuple[int, int]:
    """Live and archived instances."""
    query = "select count(*) from leoflow_core.task_instance"
    return await scalar(conn, query), await scalar(conn, f"{query}_history")


async def rows_of(conn: Connection, view: str) -> list[tuple[Any, ...]]:
    cursor = await conn.execute(
        psycopg.sql.SQL("select * from {} as v order by v::text").format(
            psycopg.sql.SQL(".").join(map(psycopg.sql.Identifier, view.split(".")))
        )
    )
    return await cursor.fetchall()


async def finished_run(conn: Connection, ends: dict[str, str] | None = None, **fields: Any) -> CreatedRun:
    spec = dag(
        "d",
        [task("a", retries=1, retry_delay_seconds=0.0), task("b"), task("z", "a", "b", xcom_input={"xs": ["a", "b"]})],
    )
    run = await run_of(conn, spec, **fields)
    worker = await new_worker(conn)
    await drain(conn, worker, ends)
    while await engine.promote_due(conn):
        await drain(conn, worker, ends)
    return run


async def test_history_has_the_columns_of_the_live_tables_in_the_same_order(connection: Connection) -> None:
    columns = """
        select attname::text, format_type(atttypid, atttypmod) from pg_attribute
        where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum
    """
    for table in ("task_instance", "task_instance_extra"):
        view = "all_task_instances" if table == "task_instance" else "all_task_instance_extra"
        live, history, both = [
            await (await connection.execute(columns, (f"leoflow_core.{name}",))).fetchall()
            for name in (table, f"{table}_history", view)
        ]
        assert live == history, f"a migration that adds a column to {table} adds it to {table}_history too"
        assert live == both


@pytest.mark.parametrize("view", VIEWS)
async def test_every_view_shows_the_same_rows_before_and_after(connection: Connection, view: str) -> None:
    run = await finished_run(connection, {"a": "failed"})
    await connection.execute(
        "insert into leoflow_core.task_instance_extra (run_key, task_idx, note) values (%s, 0, 'why') "
        "on conflict (run_key, task_idx, map_index) do update set note = excluded.note",
        (run.run_key,),
    )
    before = await rows_of(connection, view)
    assert before
    assert await archive(connection) == 1
    assert await counts(connection) == (0, 3)
    assert await rows_of(connection, view) == before


async def test_what_has_not_ended_or_only_just_ended_stays(connection: Connection) -> None:
    await finished_run(connection)
    await run_of(connection, dag("open", [task("a")]))
    assert await engine.archive_runs(connection) == 0
    assert await scalar(connection, "select leoflow_core.seconds_to_archive()") == pytest.approx(300, abs=30)
    assert await archive(connection) == 1
    assert await counts(connection) == (1, 3)
    assert await archive(connection) == 0
    assert await scalar(connection, "select leoflow_core.seconds_to_archive()") is None


async def test_a_batch_is_whole_runs_up_to_a_number_of_instances(connection: Connection) -> None:
    for _ in range(4):
        await finished_run(connection)
    assert await archive(connection, 4) == 2
    assert await archive(connection, 1) == 1
    assert await archive(connection, 100) == 1
    assert await counts(connection) == (0, 12)


async def test_a_cleared_run_comes_back_and_runs_again(connection: Connection) -> None:
    run = await finished_run(connection, {"a": "failed"})
    await archive(connection)
    planned = await engine.clear_tasks(connection, "d", run.run_id, ["a"], downstream=True, dry_run=True)
    assert await counts(connection) == (0, 3)
    assert await engine.clear_tasks(connection, "d", run.run_id, ["a"], downstream=True) == planned
    assert await counts(connection) == (3, 0)
    assert await drain(connection, await new_worker(connection)) == ["a", "z"]
    assert await run_state(connection, run) == "success"
    assert await archive(connection) == 1
    assert await states(connection, run) == {"a": "success", "b": "success", "z": "success"}


async def test_marking_in_a_run_that_was_moved_away_changes_it(connection: Connection) -> None:
    run = await finished_run(connection, {"b": "failed"})
    await archive(connection)
    assert len(await engine.mark_tasks(connection, "d", run.run_id, ["b"], "success")) == 1
    assert (await states(connection, run))["b"] == "success"
    assert await engine.mark_tasks(connection, "d", run.run_id, ["b"], "success") == []


async def test_clearing_the_past_reaches_runs_that_were_moved_away(connection: Connection) -> None:
    runs = [await finished_run(connection, logical_date=datetime(2026, 1, day, tzinfo=UTC)) for day in (1, 2, 3)]
    await archive(connection)
    found = await engine.clear_tasks(connection, "d", runs[2].run_id, ["b"], past=True)
    assert [one.run_key for one in found] == [run.run_key for run in runs]
    assert await counts(connection) == (9, 0)


async def test_setting_a_run_that_was_moved_away_to_queued_starts_it_again(connection: Connection) -> None:
    run = await finished_run(connection, {"z": "failed"})
    await archive(connection)
    await engine.set_run_state(connection, "d", run.run_id, "queued")
    assert await drain(connection, await new_worker(connection)) == []
    assert await run_state(connection, run) == "failed"


async def test_depends_on_past_looks_into_history(connection: Connection) -> None:
    worker = await new_worker(connection)
    spec = dag("past", [task("a", depends_on_past=True)])
    first = await run_of(connection, spec, logical_date=datetime(2026, 1, 1, tzinfo=UTC))
    await drain(connection, worker, {"a": "failed"})
    await archive(connection)
    await run_of(connection, spec, logical_date=datetime(2026, 1, 2, tzinfo=UTC))
    assert await drain(connection, worker) == []
    await engine.mark_tasks(connection, "past", first.run_id, ["a"], "success")
    await archive(connection)
    assert await drain(connection, worker) == ["a"]


async def test_deleting_a_run_deletes_its_history(connection: Connection) -> None:
    run = await finished_run(connection, {"a": "failed"})
    await archive(connection)
    await engine.delete_run(connection, "d", run.run_id)
    assert await counts(connection) == (0, 0)
    assert await scalar(connection, "select count(*) from leoflow_core.task_attempt_history") == 0


async def test_retention_drops_the_partitions_of_history(connection: Connection) -> None:
    run = await finished_run(connection)
    await archive(connection)
    old = "run_key - (86400000::bigint * 60 << 20)"
    key = await scalar(connection, f"select {old} from leoflow_core.dag_run where run_key = %s", run.run_key)
    week = "date_trunc('week', clock_timestamp() - interval '60 days', 'UTC')"
    for table in ("task_instance_history", "task_instance_extra_history", "task_attempt_history"):
        await connection.execute(
            f"""select leoflow_core.add_partition(
                %s, %s || to_char({week} at time zone 'UTC', 'YYYYMMDD'),
                leoflow_core.run_key_at({week})::text, leoflow_core.run_key_at({week} + interval '7 days')::text
            )""",
            (table, f"{table}_"),
        )
    await connection.execute(
        f"update leoflow_core.dag_run set run_key = {old}, end_date = end_date - interval '60 days'"
    )
    await connection.execute(f"update leoflow_core.task_instance_history set run_key = {old}")
    home = "select tableoid::regclass::text from leoflow_core.task_instance_history limit 1"
    assert (await scalar(connection, home))[-8:].isdigit()
    partitions = "select count(*) from pg_inherits where inhparent::regclass::text like '%%_history'"
    assert await scalar(connection, partitions) == 6
    assert await engine.retain(connection, timedelta(days=30)) == 1
    assert await scalar(connection, partitions) == 3
    assert await scalar(connection, "select count(*) from leoflow_core.all_task_instances where run_key = %s", key) == 0


async def test_an_attempt_of_a_run_that_was_moved_away_is_stale(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, chain("d", "a"))
    [attempt] = await engine.claim(connection, worker, 1)
    await engine.finish(connection, worker, [outcome(attempt)])
    await archive(connection)
    result = await engine.finish(connection, worker, [outcome(attempt)])
    assert result.stale == [attempt.attempt_id]
