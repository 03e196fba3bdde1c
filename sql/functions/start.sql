-- Marks claimed attempts as started, with the process that runs them. Returns the attempt ids that are not theirs any
-- more: these must not run. Repeating it with the same pid and host is harmless.
-- Locks: the instances in key order. Callers: worker, execution API.
create or replace function leoflow_core.start(
    p_worker_key int, p_run_keys bigint[], p_task_idxs int[], p_map_indexes int[], p_attempt_ids uuid[],
    p_pids int[] default null, p_hostname text default null, p_unixname text default null
) returns setof uuid language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    return query
    with input as materialized (
        select i.* from unnest(p_run_keys, p_task_idxs, p_map_indexes, p_attempt_ids, p_pids)
            as i(run_key, task_idx, map_index, attempt_id, pid)
    ),
    locked as materialized (
        select t.run_key, t.task_idx, t.map_index, i.pid
        from input as i
        join leoflow_core.task_instance as t
            on leoflow_core.by_key(t.run_key, i.run_key) and t.task_idx = i.task_idx and t.map_index = i.map_index
        where t.attempt_id = i.attempt_id and t.worker_key = p_worker_key and t.state in ('queued', 'running')
        order by t.run_key, t.task_idx, t.map_index
        for update of t
    ),
    written as (
        update leoflow_core.task_instance as t set
            state = 'running', due_at = null, start_date = coalesce(t.start_date, clock_timestamp()), pid = coalesce(l.pid, t.pid),
            hostname = coalesce(p_hostname, t.hostname)
        from locked as l
        where leoflow_core.by_key(t.run_key, l.run_key) and t.task_idx = l.task_idx and t.map_index = l.map_index
        returning t.attempt_id
    )
    select i.attempt_id from input as i where i.attempt_id not in (select w.attempt_id from written as w);
end
$$;
comment on function leoflow_core.start(int, bigint[], int[], int[], uuid[], int[], text, text) is
'Marks claimed attempts as started; returns those that lost their place.';
