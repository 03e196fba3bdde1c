-- Counts final instances towards the end of their runs and ends the runs that have none left: failed if a leaf failed
-- or is upstream_failed, else success (Airflow, DagRun.update_state).
-- Locks: slots of runs' ends in key order, then runs in key order. Callers: propagate.
create or replace function leoflow_core.count_run_end(p_settled leoflow_core.settled[]) returns void
language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_closed bigint[];
    v_ended bigint[];
begin
    with agg as materialized (
        select
            f.run_key, -1 as task_idx, -1 as map_index, leoflow_core.slot_of(f.task_idx, f.map_index) as slot, count(*)::int as n,
            count(*) filter (where f.is_leaf and f.state in ('failed', 'upstream_failed'))::int as n_failed
        from unnest(p_settled) as f
        join leoflow_core.dag_run as r on leoflow_core.by_key(r.run_key, f.run_key) and r.open_slots > 0
        where f.is_counted
        group by f.run_key, leoflow_core.slot_of(f.task_idx, f.map_index)
        order by f.run_key, leoflow_core.slot_of(f.task_idx, f.map_index) -- the order of locks
    ),
    counted as (
        update leoflow_core.join_counter as j set waiting = j.waiting - a.n, up_failed = j.up_failed + a.n_failed
        from agg as a
        where leoflow_core.by_key(j.run_key, a.run_key) and j.task_idx = a.task_idx
            and j.map_index = a.map_index and j.slot = a.slot
        returning j.run_key, j.waiting
    )
    select array_agg(c.run_key) filter (where c.waiting <= 0) into v_closed from counted as c;

    with direct as materialized (
        select
            f.run_key, count(*)::int as n,
            count(*) filter (where f.is_leaf and f.state in ('failed', 'upstream_failed'))::int as n_failed
        from unnest(p_settled) as f
        where f.is_counted
        group by f.run_key
        order by f.run_key
    ),
    counted as (
        update leoflow_core.dag_run as r set
            remaining = r.remaining - d.n, failed_leaves = r.failed_leaves + d.n_failed
        from direct as d
        where leoflow_core.by_key(r.run_key, d.run_key) and r.open_slots = 0
        returning r.run_key, r.remaining, r.state
    )
    select array_agg(c.run_key) filter (where c.remaining <= 0 and c.state = 'running') into v_ended from counted as c;

    if v_closed is not null then
        perform from leoflow_core.dag_run as r where r.run_key = any(v_closed) order by r.run_key for update;
        with closed as (select c.run_key, count(*)::int as n from unnest(v_closed) as c(run_key) group by c.run_key),
        counted as (
            update leoflow_core.dag_run as r set
                open_slots = r.open_slots - c.n,
                remaining = case when r.open_slots - c.n > 0 then r.remaining else 0 end,
                failed_leaves = case when r.open_slots - c.n > 0 then r.failed_leaves else (
                    select sum(j.up_failed)::int from leoflow_core.join_counter as j
                    where j.run_key = r.run_key and j.task_idx = -1
                ) end
            from closed as c
            where r.run_key = c.run_key
            returning r.run_key, r.open_slots, r.state
        )
        select v_ended || array_agg(c.run_key) filter (where c.open_slots = 0 and c.state = 'running')
        into v_ended from counted as c;
    end if;
    if v_ended is not null then
        perform leoflow_core.end_runs(v_ended);
    end if;
end
$$;
comment on function leoflow_core.count_run_end(leoflow_core.settled[]) is
'Counts final instances towards the end of their runs and ends those that have none left.';
