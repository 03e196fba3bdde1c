-- Adds the task instances of a version that runs do not have yet, without a state: evaluate_run decides about them.
-- Locks: only its own new rows. Callers: insert_backfill_runs, move_run.
create or replace function leoflow_core.add_instances(p_run_keys bigint[], p_version_key bigint) returns void
language plpgsql
set jit = off set plan_cache_mode = auto set enable_nestloop = on -- one row of a run, or thousands of runs
as $$
declare
    v_gated boolean := leoflow_core.is_gated_version(p_version_key);
begin
    insert into leoflow_core.task_instance (
        run_key, version_key, task_idx, map_index, trigger_rule, priority, queue_key, pool_key, pool_slots, max_tries,
        upstreams, extra_left, is_leaf, is_counted, feeds_slots, has_downstream, is_gated, expands
    )
    select
        n.run_key, t.version_key, t.task_idx, i.map_index, t.trigger_rule, t.priority, t.queue_key, t.pool_key,
        t.pool_slots, t.retries, t.upstream_count, t.extra_count, t.is_leaf, t.is_counted, t.feeds_slots,
        t.has_downstream,
        v_gated or p.slots >= 0 or t.max_active_tis_per_dag is not null or t.max_active_tis_per_dagrun is not null
        or t.depends_on_past or t.wait_for_downstream,
        t.expands
    from unnest(p_run_keys) as n(run_key)
    cross join leoflow_core.task as t
    cross join lateral generate_series(
        case when t.map_length is null then -1 else 0 end, coalesce(t.map_length, 0) - 1
    ) as i(map_index)
    join leoflow_core.pool as p on p.pool_key = t.pool_key
    where t.version_key = p_version_key and not exists (
        select from leoflow_core.task_instance as had where had.run_key = n.run_key and had.task_idx = t.task_idx
    )
    order by n.run_key, t.task_idx, i.map_index;
end
$$;
comment on function leoflow_core.add_instances(bigint[], bigint) is
'Adds the task instances of a version that runs do not have yet.';

-- Whether max_active_tasks may limit runs of a version: more instances than that, or a number nobody knows yet.
-- Locks: none. Callers: add_instances, insert_backfill_runs, move_run; create_run says the same.
create or replace function leoflow_core.is_gated_version(p_version_key bigint) returns boolean language sql stable as $$
    select v.expands or v.instance_count > v.max_active_tasks from leoflow_core.dag_version as v
    where v.version_key = p_version_key
$$;
comment on function leoflow_core.is_gated_version(bigint) is 'Whether max_active_tasks may limit runs of a version.';
