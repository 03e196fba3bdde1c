-- Everything a worker needs to start the given, already claimed, attempts.
-- Locks: none. Callers: claim, finish.
create or replace function leoflow_core.describe_attempts(p_instances leoflow_core.instance_ref[])
returns setof leoflow_core.claimed_attempt language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    return query select
        t.attempt_id, t.run_key, t.task_idx, t.map_index, t.version_key, d.dag_id, r.run_id, k.task_id, t.try_number,
        t.max_tries, t.max_tries > 0 and t.try_number <= t.max_tries, q.name, p.name, t.pool_slots, t.priority, k.kind,
        k.execution_timeout_seconds, v.version_id, v.version_number, v.bundle_path, v.environment_key,
        v.relative_fileloc, v.image, t.state, t.queued_at, t.start_date, t.start_date, t.reschedules, x.next_method,
        x.next_kwargs, r.logical_date, r.data_interval_start, r.data_interval_end, r.run_after, r.start_date,
        r.end_date, r.state, r.run_type, r.clear_number, r.conf, r.triggering_user_name, r.partition_key, r.note,
        k.has_reduce
    from unnest(p_instances) with ordinality as i(run_key, task_idx, map_index, ord)
    join leoflow_core.task_instance as t
        on leoflow_core.by_key(t.run_key, i.run_key) and t.task_idx = i.task_idx and t.map_index = i.map_index
    join leoflow_core.task as k on leoflow_core.by_key(k.version_key, t.version_key) and k.task_idx = t.task_idx
    join leoflow_core.dag_version as v on v.version_key = t.version_key
    join leoflow_core.dag_run as r on leoflow_core.by_key(r.run_key, i.run_key)
    join leoflow_core.dag as d on leoflow_core.by_key(d.dag_key, r.dag_key)
    join leoflow_core.queue as q on q.queue_key = t.queue_key
    join leoflow_core.pool as p on p.pool_key = t.pool_key
    left join leoflow_core.task_instance_extra as x
        on leoflow_core.by_key(x.run_key, i.run_key) and x.task_idx = i.task_idx and x.map_index = i.map_index
    order by i.ord;
end
$$;
comment on function leoflow_core.describe_attempts(leoflow_core.instance_ref[]) is
'Everything a worker needs to start the given attempts.';
