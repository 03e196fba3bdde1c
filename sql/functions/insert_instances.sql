-- Inserts all task instances of new runs, from their versions; those of a run that is running are claimable where they
-- wait for nothing. Instances of runs that wait have no state: evaluate_run decides about them when they start.
-- The rows come in key order without a sort, those of maps over literals last.
-- Locks: only its own new rows. Callers: create_run, create_due_runs.
create or replace function leoflow_core.insert_instances(p_run_keys bigint[]) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
    v_limited int[] := array(select p.pool_key from leoflow_core.pool as p where p.slots >= 0);
begin
    insert into leoflow_core.task_instance (
        run_key, version_key, task_idx, map_index, state, scheduled_at, ready_key, gate_key, trigger_rule, priority,
        queue_key, pool_key, pool_slots, max_tries, upstreams, extra_left, is_leaf, is_counted, feeds_slots,
        has_downstream, is_gated, expands
    )
    select
        r.run_key, t.version_key, t.task_idx, t.map_index,
        case when s.is_root then 'scheduled'::leoflow.task_instance_state end,
        case when s.is_root then r.start_date end,
        case when s.is_root and not g.is_gated then -t.priority end,
        case when s.is_root and g.is_gated then -t.priority end,
        t.trigger_rule, t.priority, t.queue_key, t.pool_key, t.pool_slots, t.retries, t.upstream_count, t.extra_count,
        t.is_leaf, t.is_counted, t.feeds_slots, t.has_downstream, g.is_gated, t.expands
    from unnest(p_run_keys) as n(run_key)
    join leoflow_core.dag_run as r on r.run_key = n.run_key
    cross join lateral (
        -- a function per task would cost as much as its insert does
        select k.*, -1 as map_index from leoflow_core.task as k
        where k.version_key = r.version_key and k.map_length is null
        union all
        select k.*, i.map_index from leoflow_core.task as k
        cross join lateral generate_series(0, k.map_length - 1) as i(map_index)
        where k.version_key = r.version_key and k.map_length is not null
    ) as t
    cross join lateral (
        select r.state = 'running' and not t.expands
            and (t.upstream_count + t.extra_count = 0 or t.trigger_rule = 'always') as is_root
    ) as s
    cross join lateral (
        select r.is_gated or t.pool_key = any(v_limited) or t.max_active_tis_per_dag is not null
            or t.max_active_tis_per_dagrun is not null or t.depends_on_past or t.wait_for_downstream as is_gated
    ) as g;
end
$$;
comment on function leoflow_core.insert_instances(bigint[]) is 'Inserts all task instances of new runs.';
