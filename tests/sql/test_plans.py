"""The plans of the hot functions on a database with much finished work: keys only, no JIT, no sorting of history."""

import pytest

from leoflow import engine
from leoflow.db.pool import connect
from tests.sql.dags import Connection, dag, drain, new_worker, outcome, run_of, scalar, task, unlimited
from tests.support.plans import Plans, problems

pytestmark = pytest.mark.anyio

HISTORY = """
insert into leoflow_core.dag_run (
    run_key, dag_key, version_key, run_id, run_type, state, remaining, instance_count, run_after, queued_at, end_date
)
select n, dag_key, version_key, 'old' || n, 'manual', 'success', 0, 200, now(), now(), now()
from leoflow_core.dag_run, generate_series(1, 500) as n where run_id = 'first';
insert into leoflow_core.task_instance (
    run_key, version_key, task_idx, state, trigger_rule, priority, queue_key, pool_key, pool_slots, max_tries,
    upstreams, is_leaf, is_counted, feeds_slots, has_downstream, is_gated, attempt_id, worker_key
)
select
    r, version_key, i, 'success', 'all_success', 1, 1, 1, 1, 0, 0, true, true, false, false, false, gen_random_uuid(), 0
from leoflow_core.dag_run, generate_series(1, 500) as r, generate_series(0, 199) as i where run_id = 'first';
analyze leoflow_core.task_instance; analyze leoflow_core.dag_run;
"""


@pytest.mark.parametrize("slots", [-1, 128], ids=["unlimited", "gated"])
async def test_claim_finish_and_retry_touch_only_what_they_change(connection: Connection, slots: int) -> None:
    await unlimited(connection)
    await connection.execute("update leoflow_core.pool set slots = %s", (slots,))
    names = [f"t{i:03}" for i in range(300)]
    tasks = [task(name, retries=1, retry_delay_seconds=0.0) for name in names]
    await run_of(connection, dag("d", [*tasks, task("z", *names, trigger_rule="all_done")]), run_id="first")
    await connection.execute(HISTORY)
    await run_of(connection, dag("pair", [task("a"), task("b", "a")]))
    worker = await new_worker(connection)
    async with Plans(connection) as plans:
        claimed = await engine.claim(connection, worker, 20)
        await engine.finish(connection, worker, [outcome(one) for one in claimed[:10]], handoff=5)
        await engine.finish(connection, worker, [outcome(one, "failed") for one in claimed[10:]])
        await engine.claim(connection, worker, 5)
        await engine.promote_due(connection)
    assert len(plans) > 10
    assert not problems(plans), "\n\n".join(problems(plans))


async def test_the_claim_reads_the_ready_index_in_order(connection: Connection) -> None:
    await unlimited(connection)
    await run_of(connection, dag("d", [task(f"t{i:03}") for i in range(300)], max_active_tasks=1000), run_id="first")
    await connection.execute(HISTORY)
    worker = await new_worker(connection)
    async with Plans(connection) as plans:
        await engine.claim(connection, worker, 1)
    (plan,) = [one for one in plans if "CTE candidate" in one]
    assert "Index Scan using task_instance_ready" in plan
    assert "Sort  " not in plan.split("CTE checked")[0]


async def pages_of_an_empty_claim(conn: Connection, worker: int) -> int:
    """Run everything; then how many pages a claim looks at that finds nothing, while a younger run is unfinished."""
    await drain(conn, worker)
    await engine.create_run(conn, "younger")
    await engine.refresh_watermark(conn)
    claim = f"select * from leoflow_core.claim({worker}, 10, '{{default}}')"
    (plan,) = await scalar(conn, f"explain (analyze, buffers, timing off, format json) {claim}")
    assert plan["Plan"]["Actual Rows"] == 0
    return int(plan["Plan"]["Shared Hit Blocks"]) + int(plan["Plan"]["Shared Read Blocks"])


@pytest.mark.parametrize("slots", [-1, 5000], ids=["unlimited", "gated"])
async def test_claims_pass_over_the_dead_entries_of_ended_runs(
    connection: Connection, database_url: str, slots: int
) -> None:
    await connection.execute("update leoflow_core.pool set slots = %s", (slots,))
    worker = await new_worker(connection)
    tasks = [task(f"t{i:03}", effective_priority=1 + i % 3) for i in range(600)]
    await engine.register_version(connection, dag("younger", [task("a", queue="other")]))
    await run_of(connection, dag("wide", tasks, max_active_tasks=1000))
    await pages_of_an_empty_claim(connection, worker)
    quiet = await pages_of_an_empty_claim(connection, worker)
    reader = await connect(database_url)
    try:
        await reader.execute("begin isolation level repeatable read")
        await scalar(reader, "select count(*) from leoflow_core.task_instance")
        for _ in range(3):
            await engine.create_run(connection, "wide")
            pinned = await pages_of_an_empty_claim(connection, worker)
    finally:
        await reader.close()
    assert pinned <= quiet + 10


@pytest.mark.parametrize("slots", [-1, 5000], ids=["unlimited", "gated"])
async def test_plans_made_for_empty_tables_hold_for_a_large_run(connection: Connection, slots: int) -> None:
    await connection.execute("update leoflow_core.pool set slots = %s", (slots,))
    worker = await new_worker(connection)
    names = [f"t{i:03}" for i in range(500)]
    tasks = [*map(task, names), task("z", *names)]
    await run_of(connection, dag("wide", tasks, max_active_tasks=1000))
    await drain(connection, worker)
    # all is in history, the tables have pages and no rows: to the planner they stay empty however many come
    await connection.execute("update leoflow_core.setting set value = '-1' where key = 'history_after_seconds'")
    assert await scalar(connection, "select leoflow_core.archive_runs()") == 1
    await connection.execute("vacuum (analyze, truncate false)")
    await run_of(connection, dag("tiny", [task("a"), task("b", "a")]))
    await drain(connection, worker, handoff=1)
    await engine.create_run(connection, "wide")
    async with Plans(connection) as plans:
        claimed = await engine.claim(connection, worker, 20)
        await engine.finish(connection, worker, [outcome(one) for one in claimed], handoff=5)
        await engine.claim(connection, worker, 20)
    assert not problems(plans), "\n\n".join(problems(plans))


async def test_an_idle_poll_reads_next_to_nothing(connection: Connection) -> None:
    await run_of(connection, dag("d", [task("a")]), run_id="first")
    await connection.execute(HISTORY)
    worker = await new_worker(connection)
    await engine.claim(connection, worker, 1)
    async with Plans(connection) as plans:
        assert await engine.claim(connection, worker, 10) == []
        assert await engine.promote_due(connection) == 0
        assert await engine.reap(connection) == 0
        assert await engine.next_due(connection) is None
        await engine.refresh_watermark(connection)
    assert not problems(plans), "\n\n".join(problems(plans))
