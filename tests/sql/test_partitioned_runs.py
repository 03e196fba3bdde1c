"""Runs of partitions: which events belong together, and when their run is created."""

from typing import Any

import pytest

from leoflow import engine
from leoflow.config import SchedulerSettings, UserCodeSettings
from leoflow.db.pool import Pool
from leoflow.engine import Outcome
from leoflow.execution.usercode import Call, CallAnswer
from leoflow.scheduler.partitioned_runs import PartitionedRuns
from tests.sql.assets import all_of, any_of, asset, attempt_with, outlets, runs
from tests.sql.dags import Connection, dag, new_worker, scalar, task

pytestmark = pytest.mark.anyio

A, B = asset("a"), asset("b")
IDENTITY = {"type": "identity"}
HOUR = {
    **{"type": "start_of", "unit": "hour", "timezone": "UTC"},
    **{"input_format": "%Y-%m-%dT%H:%M:%S", "output_format": "%Y-%m-%dT%H"},
}


def listener(
    dag_id: str, expression: dict[str, Any], mapper: dict[str, Any] = IDENTITY, **fields: Any
) -> dict[str, Any]:
    schedule = {"type": "partitioned_assets", "expression": expression, "mappers": [], "default_mapper": mapper}
    return dag(dag_id, [task("use")], schedule=schedule, **fields)


class NoCode:
    """No project has code here."""

    async def call(self, call: Call) -> CallAnswer:
        raise AssertionError(call)


async def advance(pool: Pool) -> None:
    """What a scheduler does."""
    await PartitionedRuns(pool, SchedulerSettings(), UserCodeSettings(), NoCode()).work()


async def tell(conn: Connection, name: str, key: str | None) -> None:
    await conn.execute("select leoflow.create_asset_event(name => %s, partition_key => %s)", (name, key))


async def made(conn: Connection, dag_id: str) -> list[tuple[Any, ...]]:
    """Partition, and how many events the run was told of."""
    cursor = await conn.execute(
        "select r.partition_key, (select count(*) from leoflow_core.dag_run_asset_event e where e.run_key = r.run_key)"
        " from leoflow_core.dag_run r join leoflow_core.dag d using (dag_key) where d.dag_id = %s order by r.run_key",
        (dag_id,),
    )
    return await cursor.fetchall()


async def pending(conn: Connection) -> list[str]:
    cursor = await conn.execute(
        "select partition_key from leoflow_core.asset_partition_run where run_key is null order by partition_key"
    )
    return [row[0] for row in await cursor.fetchall()]


async def test_a_partition_runs_when_all_its_assets_have_changed(pool: Pool) -> None:
    async with pool.connection() as conn:
        await engine.register_version(conn, listener("hourly", all_of(A, B), HOUR))
        await tell(conn, "a", "2026-05-01T10:05:00")
        await tell(conn, "a", "2026-05-01T10:45:00")
        await tell(conn, "b", "2026-05-01T11:00:00")
        await advance(pool)
        assert await made(conn, "hourly") == [] and await pending(conn) == ["2026-05-01T10", "2026-05-01T11"]
        await tell(conn, "b", "2026-05-01T10:00:00")
        await advance(pool)
        assert await made(conn, "hourly") == [("2026-05-01T10", 3)] and await pending(conn) == ["2026-05-01T11"]
        await tell(conn, "b", "2026-05-01T10:30:00")
        await advance(pool)
        assert await pending(conn) == ["2026-05-01T10", "2026-05-01T11"], "events after the run wait for another one"
        cursor = await conn.execute(
            "select dag_run_id, run_type::text, logical_date, data_interval_start, run_after, triggered_by"
            " from leoflow.dag_runs where dag_id = 'hourly'"
        )
        row = await cursor.fetchone()
        assert row is not None and row[1:4] == ("asset_triggered", None, None) and row[5] == "asset"
        assert row[0].startswith(f"asset_triggered__{row[4].isoformat()}_")


async def test_each_partition_has_its_run_whatever_the_limit_of_runs_is(pool: Pool) -> None:
    async with pool.connection() as conn:
        await engine.register_version(conn, listener("many", any_of(A, B), max_active_runs=1))
        for key in ("x", "y", "z"):
            await tell(conn, "a", key)
        await advance(pool)
        assert [key for key, _ in await made(conn, "many")] == ["x", "y", "z"]
        states = "select array_agg(state::text order by run_key) from leoflow_core.dag_run"
        assert await scalar(conn, states) == ["running", "queued", "queued"]


async def test_a_task_hands_its_runs_partition_to_its_outlets(pool: Pool) -> None:
    async with pool.connection() as conn:
        await engine.register_version(conn, listener("next", all_of(A)))
        attempt = await attempt_with(conn, A)
        await conn.execute(
            "update leoflow_core.dag_run set partition_key = 'eu' where run_key = %s", (attempt.run_key,)
        )
        await engine.finish(conn, await new_worker(conn), [Outcome(attempt.ref, "success", outlets=outlets(A))])
        await engine.create_asset_runs(conn)
        assert await made(conn, "next") == [], "a scheduler maps the key"
        await advance(pool)
        assert await made(conn, "next") == [("eu", 1)]


async def audit(conn: Connection) -> list[tuple[Any, ...]]:
    cursor = await conn.execute("select event, extra from leoflow_core.audit_log where event like '%partition%'")
    return await cursor.fetchall()


async def test_an_event_without_a_key_starts_nothing_and_is_written_down(pool: Pool) -> None:
    async with pool.connection() as conn:
        await engine.register_version(conn, listener("keyed", all_of(A)))
        await engine.register_version(conn, dag("plain", [task("use")], schedule={"type": "assets", "expression": A}))
        await tell(conn, "a", None)
        await engine.create_asset_runs(conn)
        await advance(pool)
        assert await made(conn, "keyed") == [] and await pending(conn) == []
        assert len(await runs(conn, "plain")) == 1
        [(event, extra)] = await audit(conn)
        assert (event, extra["listening_dags"]) == ("missing partition key", ["keyed"])


async def test_a_key_that_cannot_be_mapped_is_written_down_and_disturbs_no_other_dag(pool: Pool) -> None:
    async with pool.connection() as conn:
        await engine.register_version(conn, listener("strict", all_of(A), HOUR))
        await engine.register_version(conn, listener("odd", all_of(A), {"type": "of another release"}))
        await engine.register_version(conn, listener("lenient", all_of(A)))
        await tell(conn, "a", "not a date")
        await advance(pool)
        assert [await made(conn, dag_id) for dag_id in ("strict", "odd", "lenient")] == [[], [], [("not a date", 1)]]
        found = {extra["target_dag_id"]: extra["error"] for _, extra in await audit(conn)}
        assert "does not match format" in found["strict"] and "not known" in found["odd"]
        assert await scalar(conn, "select count(*) from leoflow_core.partition_queue") == 0


async def test_a_paused_dag_hears_nothing(pool: Pool) -> None:
    async with pool.connection() as conn:
        await engine.register_version(conn, listener("asleep", all_of(A)))
        await engine.set_paused(conn, "asleep", True)
        await tell(conn, "a", "x")
        await engine.set_paused(conn, "asleep", False)
        await advance(pool)
        assert await made(conn, "asleep") == [] and await pending(conn) == []


async def test_a_scheduler_that_dies_while_it_maps_is_replaced_and_nothing_counts_twice(pool: Pool) -> None:
    async with pool.connection() as conn:
        await engine.register_version(conn, listener("safe", all_of(A)))
        await tell(conn, "a", "x")
        key = await scalar(conn, "select queue_key from leoflow_core.take_partition_events(10, 0.2)")
        await advance(pool)
        assert await made(conn, "safe") == [], "it is taken"
        await conn.execute("update leoflow_core.partition_queue set taken_until = clock_timestamp()")
        await advance(pool)
        assert await made(conn, "safe") == [("x", 1)]
        await conn.execute(
            "select leoflow_core.add_partition_event(%s, array['x'], null)", (key,)
        )  # the dead one's answer
        await advance(pool)
        assert await made(conn, "safe") == [("x", 1)] and await pending(conn) == []


async def test_another_schedule_weighs_what_waits_anew(pool: Pool) -> None:
    async with pool.connection() as conn:
        await engine.register_version(conn, listener("moving", all_of(A, B)))
        await tell(conn, "a", "x")
        await advance(pool)
        assert await pending(conn) == ["x"]
        await engine.register_version(conn, listener("moving", any_of(A, B)))
        await advance(pool)
        assert await made(conn, "moving") == [("x", 1)]


async def test_a_dag_that_becomes_partitioned_makes_no_plain_run_of_what_waited(pool: Pool) -> None:
    async with pool.connection() as conn:
        plain = {"type": "assets", "expression": all_of(A, B)}
        await engine.register_version(conn, dag("moving", [task("use")], schedule=plain))
        await tell(conn, "a", None)
        await tell(conn, "b", None)
        await engine.register_version(conn, listener("moving", all_of(A)))
        assert (await engine.create_asset_runs(conn)).created == 0
        assert await made(conn, "moving") == []


async def test_what_is_known_of_a_partition_goes_with_its_run(pool: Pool) -> None:
    async with pool.connection() as conn:
        await engine.register_version(conn, listener("gone", all_of(A)))
        await tell(conn, "a", "x")
        await advance(pool)
        run_id = await scalar(conn, "select run_id from leoflow_core.dag_run")
        await conn.execute("update leoflow_core.dag_run set state = 'success', end_date = now()")
        await conn.execute("select leoflow.delete_run('gone', %s)", (run_id,))
        for table in ("asset_partition_run", "asset_partition_event", "partition_queue"):
            assert await scalar(conn, f"select count(*) from leoflow_core.{table}") == 0
