"""A database of an earlier release, with a version and a run of it under way, goes on after the upgrade."""

from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from leoflow import engine
from leoflow.db import alembic_runner, migrate
from leoflow.db.pool import connect
from tests.sql import invariants
from tests.sql.dags import dag, drain, literal, new_worker, over, scalar, task

pytestmark = pytest.mark.anyio

TRIALS = [f"t{number:02}" for number in range(70)]
SPEC = dag(
    "old",
    [
        *(task(one) for one in TRIALS),
        task("best", *TRIALS, xcom_input={"scores": TRIALS}),
        task("each", "best", mapping=over(literal(3))),
    ],
    max_active_tasks=1000,
)
IDS = [one["task_id"] for one in SPEC["tasks"]]

# What the engine of that time wrote: register_version, create_run, and one claim and finish of t00.
VERSION = """
with d as (insert into leoflow_core.dag (dag_id, is_paused) values ('old', false) returning dag_key)
insert into leoflow_core.dag_version (
    dag_key, version_number, version_id, content_hash, spec, task_count, max_active_tasks, fail_fast, has_slotted
)
select d.dag_key, 1, gen_random_uuid(), 'then', %(spec)s, 72, 1000, false, true from d
"""
TASKS = """
insert into leoflow_core.task (
    version_key, task_idx, task_id, position, trigger_rule, upstream_count, is_leaf, is_counted, feeds_slots,
    is_slotted, has_downstream, is_setup, is_teardown, is_mapped, has_reduce, retries, retry_delay_seconds,
    retry_exponential_backoff, queue_key, pool_key, pool_slots, priority, kind, operator, spec, map_length, map_inputs
)
select
    v.version_key, i.idx - 1, i.id, case i.id when 'best' then 70 when 'each' then 71 else i.idx - 3 end, 'all_success',
    case i.id when 'best' then 70 when 'each' then 1 else 0 end, i.id = 'each', true, i.id like 't%%', i.id = 'best',
    i.id = 'best', false, false, i.id = 'each', i.id = 'best', 0, 300, 0,
    (select queue_key from leoflow_core.queue where name = 'default'),
    (select pool_key from leoflow_core.pool where name = 'default_pool'), 1, 1, 'operator', '', '{}',
    case i.id when 'each' then 3 end, case i.id when 'each' then '[{"type": "literal", "length": 3}]'::jsonb end
from leoflow_core.dag_version as v, unnest(%(ids)s::text[]) with ordinality as i (id, idx)
"""
EDGES = """
insert into leoflow_core.task_edge (version_key, upstream_idx, downstream_idx, is_slotted)
select u.version_key, u.task_idx, d.task_idx, d.task_id = 'best'
from leoflow_core.task as u
join leoflow_core.task as d
    on (u.task_id like 't%' and d.task_id = 'best') or (u.task_id = 'best' and d.task_id = 'each')
"""
CURRENT = "update leoflow_core.dag set current_version_key = (select version_key from leoflow_core.dag_version)"
RUN = """
insert into leoflow_core.dag_run (
    run_key, dag_key, version_key, run_id, run_type, state, remaining, open_slots, instance_count, run_after, queued_at,
    start_date
)
select
    (extract(epoch from now()) * 1000)::bigint << 20, dag_key, version_key, 'r', 'manual', 'running', 74, 16, 74, now(),
    now(), now()
from leoflow_core.dag_version
"""
INSTANCES = """
insert into leoflow_core.task_instance (
    run_key, version_key, task_idx, map_index, state, gate_key, trigger_rule, priority, queue_key, pool_key, pool_slots,
    max_tries, upstreams, is_leaf, is_counted, feeds_slots, has_downstream, is_gated, start_date, end_date, try_number
)
select
    r.run_key, t.version_key, t.task_idx, i.map_index,
    case when t.task_id = 't00' then 'success' when t.feeds_slots then 'scheduled' end::leoflow.task_instance_state,
    case when t.feeds_slots and t.task_id <> 't00' then -1 end, t.trigger_rule, 1, t.queue_key, t.pool_key, 1, 0,
    t.upstream_count, t.is_leaf, t.is_counted, t.feeds_slots, t.has_downstream, true,
    case when t.task_id = 't00' then now() end, case when t.task_id = 't00' then now() end, (t.task_id = 't00')::int
from leoflow_core.dag_run as r
join leoflow_core.task as t on t.version_key = r.version_key
cross join lateral generate_series(
    case when t.map_length is null then -1 else 0 end, coalesce(t.map_length, 0) - 1
) as i (map_index)
"""
COUNTERS = """
insert into leoflow_core.join_counter (run_key, task_idx, map_index, slot, waiting, up_success, trigger_rule)
select
    t.run_key, j.task_idx, -1, (t.task_idx + greatest(t.map_index, 0)) & 15,
    count(*) filter (where t.state is distinct from 'success'),
    case when j.task_idx >= 0 then count(*) filter (where t.state = 'success') else 0 end,
    case when j.task_idx >= 0 then 'all_success' else 'all_done' end::leoflow.trigger_rule
from leoflow_core.task_instance as t
join (values (0), (-1)) as j (task_idx) on j.task_idx = -1 or t.feeds_slots
group by 1, 2, 4
"""


async def write_then(conn: AsyncConnection[Any]) -> None:
    await conn.execute(VERSION, {"spec": Jsonb(SPEC)})
    await conn.execute(TASKS, {"ids": IDS})
    for statement in (EDGES, CURRENT, RUN, INSTANCES, COUNTERS):
        await conn.execute(statement.encode())


async def totals(conn: AsyncConnection[Any], version_number: int) -> list[Any]:
    cursor = await conn.execute(
        "select v.instance_count, v.counted_count, v.end_slots, v.expands, v.expands_at_start, v.has_slotted,"
        " array_agg(row(s.task_idx, s.slot, s.waiting, s.trigger_rule)::text order by s.task_idx, s.slot)"
        " from leoflow_core.dag_version as v join leoflow_core.join_slot as s using (version_key)"
        " where v.version_number = %s group by v.version_key",
        (version_number,),
    )
    return await cursor.fetchall()


@pytest.mark.parametrize("revision", ["0012", "0015"])
async def test_a_version_and_its_run_of_an_earlier_schema_go_on(empty_database_url: str, revision: str) -> None:
    dsn = empty_database_url
    with migrate._locked(dsn):
        alembic_runner.run(dsn, "upgrade", revision, version_table_schema=migrate.CORE_SCHEMA)
    conn = await connect(dsn)
    try:
        assert IDS.index("best") == 0, "the counters' task_idx above"
        await write_then(conn)
        await migrate.upgrade(dsn)
        await engine.register_version(conn, SPEC, content_hash="now")
        assert (await totals(conn, 1))[0][:3] == (74, 74, 16)
        assert await totals(conn, 1) == await totals(conn, 2)
        assert not (await engine.register_version(conn, SPEC, content_hash="then")).is_new
        await engine.create_run(conn, "old", run_id="new")
        await invariants.check(conn)
        order = await drain(conn, await new_worker(conn), batch=50)
        assert len(order) == 73 + 74
        ended = "select array_agg(state::text || instance_count order by run_id) from leoflow_core.dag_run"
        assert await scalar(conn, ended) == ["success74", "success74"]
        await invariants.check(conn)
    finally:
        await conn.close()
