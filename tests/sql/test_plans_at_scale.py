"""The plans of hot functions and of reads with a million finished instances in history."""

from collections.abc import AsyncIterator

import pytest

from leoflow import engine
from leoflow.db.pool import connect
from tests.sql.dags import Connection, dag, new_worker, outcome, run_of, task, unlimited
from tests.support.plans import Plans, problems
from tests.support.postgres import Server

pytestmark = pytest.mark.anyio

OLD_RUNS = 5_000
TASKS = 200
FINISHED = f"""
insert into leoflow_core.dag_run (
    run_key, dag_key, version_key, run_id, run_type, state, remaining, instance_count, run_after, queued_at, end_date,
    archived_at
)
select n, dag_key, version_key, 'old' || n, 'manual', 'success', 0, {TASKS}, now(), now(), now(), now()
from leoflow_core.dag_run, generate_series(1, {OLD_RUNS}) as n where run_id = 'first';
insert into leoflow_core.task_instance_history (
    run_key, version_key, task_idx, state, trigger_rule, priority, queue_key, pool_key, pool_slots, max_tries,
    upstreams, is_leaf, is_counted, feeds_slots, has_downstream, is_gated, attempt_id, worker_key
)
select
    r, version_key, i, 'success', 'all_success', 1, 1, 1, 1, 0, 0, true, true, false, false, false,
    '00000000-0000-4000-8000-000000000000', 0
from leoflow_core.dag_run, generate_series(1, {OLD_RUNS}) as r, generate_series(0, {TASKS - 1}) as i
where run_id = 'first';
analyze leoflow_core.task_instance_history_default; analyze leoflow_core.dag_run;
"""


@pytest.fixture(scope="module")
async def crowded(server: Server, template: str) -> AsyncIterator[str]:
    """The DSN of a database with a million finished instances and one running run, made once."""
    with server.database(template) as dsn:
        connection = await connect(dsn)
        await unlimited(connection)
        names = [f"t{i:03}" for i in range(TASKS)]
        await run_of(connection, dag("d", [task(name) for name in names], max_active_tasks=1000), run_id="first")
        await connection.execute(FINISHED)
        await connection.close()
        yield dsn


@pytest.fixture
async def conn(crowded: str) -> AsyncIterator[Connection]:
    opened = await connect(crowded)
    yield opened
    await opened.close()


async def plan_of(conn: Connection, query: str) -> str:
    cursor = await conn.execute(f"explain {query}")
    return "\n".join(row[0] for row in await cursor.fetchall())


async def test_claim_and_finish_touch_only_what_they_change(conn: Connection) -> None:
    worker = await new_worker(conn)
    async with Plans(conn) as plans:
        claimed = await engine.claim(conn, worker, 20)
        await engine.finish(conn, worker, [outcome(one) for one in claimed], handoff=5)
    assert len(claimed) == 20
    assert not problems(plans), "\n\n".join(problems(plans))


async def test_no_hot_statement_reads_history(conn: Connection) -> None:
    worker = await new_worker(conn)
    async with Plans(conn) as plans:
        claimed = await engine.claim(conn, worker, 5)
        await engine.finish(conn, worker, [outcome(one) for one in claimed])
        await engine.promote_due(conn)
        await engine.reap(conn)
    assert not [plan for plan in plans if "task_instance_history" in plan]


@pytest.mark.parametrize("view", ["leoflow.task_instances", "leoflow_core.api_task_instances", "leoflow.task_attempts"])
async def test_a_run_in_history_is_read_by_its_key(conn: Connection, view: str) -> None:
    plan = await plan_of(conn, f"select * from {view} where run_key = 77")
    assert "Seq Scan on task_instance" not in plan
    assert "task_instance_history_default_pkey" in plan


async def test_the_newest_instances_are_a_merge_of_keys(conn: Connection) -> None:
    query = (
        "select * from leoflow_core.api_task_instances order by run_key desc, task_idx desc, map_index desc limit 50"
    )
    plan = await plan_of(conn, query)
    assert "Merge Append" in plan
    assert "Seq Scan on task_instance" not in plan


async def test_bringing_a_run_back_reads_only_that_run(conn: Connection) -> None:
    async with Plans(conn) as plans, conn.transaction(force_rollback=True):
        await conn.execute("select leoflow_core.restore_run(78)")
    assert len(plans) > 3
    assert not [plan for plan in plans if "Seq Scan on task_instance" in plan]
