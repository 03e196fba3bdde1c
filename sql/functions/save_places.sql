-- Process id and host of running attempts, for readers; a stale attempt changes nothing. The arrays are parallel.
-- Not durable by itself, like the log.
-- Locks: the instances in key order. Callers: worker.
create or replace function leoflow_core.save_places(
    p_run_keys bigint[], p_task_idxs int[], p_map_indexes int[], p_attempt_ids uuid[], p_pids int[], p_hostname text
) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    with locked as materialized (
        select t.run_key, t.task_idx, t.map_index, i.pid
        from unnest(p_run_keys, p_task_idxs, p_map_indexes, p_attempt_ids, p_pids)
            as i(run_key, task_idx, map_index, attempt_id, pid)
        join leoflow_core.task_instance as t
            on leoflow_core.by_key(t.run_key, i.run_key) and t.task_idx = i.task_idx and t.map_index = i.map_index
        where t.attempt_id = i.attempt_id
        order by t.run_key, t.task_idx, t.map_index
        for update of t
    )
    update leoflow_core.task_instance as t set pid = l.pid, hostname = p_hostname
    from locked as l
    where leoflow_core.by_key(t.run_key, l.run_key) and t.task_idx = l.task_idx and t.map_index = l.map_index;
end
$$;
comment on function leoflow_core.save_places(bigint[], int[], int[], uuid[], int[], text) is
'Notes the process id and host of running attempts.';
