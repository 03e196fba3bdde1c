"""The database's clock jumps, ahead and back: seen from the rows, all of them move the other way."""

from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from leoflow import engine
from leoflow.engine import Deferral
from tests.sql import invariants
from tests.sql.dags import Connection, dag, drain, instances, new_worker, outcome, run_of, run_state, scalar, task
from tests.sql.dags import unlimited as without_pools

pytestmark = pytest.mark.anyio
HOURS = timedelta(hours=3)


async def jump(conn: Connection, by: timedelta) -> None:
    """Let the clock jump by moving every moment in the database."""
    cursor = await conn.execute(
        "select c.relname, a.attname from pg_attribute as a join pg_class as c on c.oid = a.attrelid"
        " where c.relnamespace = 'leoflow_core'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition"
        " and a.atttypid = 'timestamptz'::regtype and not a.attisdropped and c.relname not like 'a%'"
    )
    columns: dict[str, list[sql.Composed]] = {}
    for table, column in await cursor.fetchall():
        moved = sql.SQL("{0} = {0} - {1}").format(sql.Identifier(column), sql.Literal(by))
        columns.setdefault(table, []).append(moved)
    async with conn.transaction():
        for table, moves in columns.items():
            place = sql.Identifier("leoflow_core", table)
            await conn.execute(sql.SQL("update {} set {}").format(place, sql.SQL(", ").join(moves)))


async def test_ahead_leases_end_what_waits_is_due_and_nothing_runs_twice(connection: Connection) -> None:
    await without_pools(connection)
    tasks = [
        task("running"),
        task("retried", retries=1, retry_delay_seconds=3600.0),
        task("deferred"),
        task("end", "running"),
    ]
    run = await run_of(connection, dag("d", tasks))
    later = await scalar(
        connection, "select run_key from leoflow_core.create_run('d', p_run_after => clock_timestamp() + '2 hours')"
    )
    old = await new_worker(connection)
    claimed = {one.task_id: one for one in await engine.claim(connection, old, 10)}
    waits = Deferral("m.Trigger", {}, "resume", {}, timeout_seconds=3600.0)
    await engine.defer(connection, [(claimed["deferred"].ref, waits)])
    ends = [outcome(claimed["retried"], "failed"), outcome(claimed["deferred"], "deferred", xcoms=())]
    await engine.finish(connection, old, ends)
    await connection.execute("select leoflow_core.promote_due(), leoflow_core.reap()")
    assert await instances(connection, run) == {
        "deferred": "deferred", "end": None, "retried": "up_for_retry", "running": "running",
    }  # fmt: skip

    assert await scalar(connection, "select leoflow_core.next_due() < clock_timestamp() + interval '1 hour'")
    await jump(connection, HOURS)
    assert not await engine.heartbeat(connection, old)
    assert await scalar(connection, "select leoflow_core.next_due() < clock_timestamp()")
    for _ in range(2):  # the second time there is nothing left to do
        await connection.execute("select leoflow_core.promote_due(), leoflow_core.reap()")
        await invariants.check(connection)
    assert set((await instances(connection, run)).values()) == {"scheduled", None}
    assert await scalar(connection, "select state from leoflow_core.dag_run where run_key = %s", later) == "running"
    late = await engine.finish(connection, old, [outcome(claimed["running"])])
    assert late.stale == [claimed["running"].attempt_id]
    assert sorted(await drain(connection, await new_worker(connection))) == sorted(
        2 * [one["task_id"] for one in tasks]
    )
    assert await run_state(connection, run) == "success"
    await invariants.check(connection)


async def test_back_a_live_worker_goes_on_and_a_dead_one_is_missed_after_its_lease(connection: Connection) -> None:
    await without_pools(connection)
    await run_of(connection, dag("d", [task("a"), task("b")]))
    alive, dead = await new_worker(connection), await new_worker(connection)
    [mine], [lost] = await engine.claim(connection, alive, 1), await engine.claim(connection, dead, 1)
    await jump(connection, -HOURS)
    assert await engine.heartbeat(connection, alive)
    assert await scalar(connection, "select leoflow_core.reap()") == 0
    assert await scalar(connection, "select max(lease_until) < clock_timestamp() + '1 minute' from leoflow_core.worker")
    await jump(connection, timedelta(seconds=31))
    assert not await engine.heartbeat(connection, dead)
    await connection.execute(
        "update leoflow_core.worker set lease_until = clock_timestamp() + '1 minute' where worker_key = %s", (alive,)
    )
    assert await scalar(connection, "select leoflow_core.reap()") == 1
    assert not (await engine.finish(connection, alive, [outcome(mine)])).stale
    assert await drain(connection, alive) == [lost.task_id]
    await invariants.check(connection)


async def test_back_the_triggers_of_a_dead_triggerer_are_free_after_its_lease(connection: Connection) -> None:
    await without_pools(connection)
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("a")]))
    [claimed] = await engine.claim(connection, worker, 1)
    await engine.defer(connection, [(claimed.ref, Deferral("m.Trigger", {}, "resume", {}))])
    await engine.finish(connection, worker, [outcome(claimed, "deferred", xcoms=())])
    lease = timedelta(seconds=30)
    dead = await engine.register_triggerer(connection, hostname="dead", pid=1, lease=lease)
    assert len(await engine.claim_triggers(connection, dead, 10)) == 1
    await jump(connection, -HOURS)
    heir = await engine.register_triggerer(connection, hostname="heir", pid=2, lease=lease)
    assert await engine.claim_triggers(connection, heir, 10) == []
    await jump(connection, timedelta(seconds=31))
    with pytest.raises(psycopg.Error, match="has no lease"):
        await engine.claim_triggers(connection, dead, 10)
    heir = await engine.register_triggerer(connection, hostname="heir", pid=2, lease=lease)
    assert len(await engine.claim_triggers(connection, heir, 10)) == 1
