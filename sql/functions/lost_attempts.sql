-- Which of a worker's attempts must stop: cleared, marked, reaped or deleted meanwhile. Ask it with each heartbeat.
-- Locks: none. Callers: worker, execution API.
create or replace function leoflow_core.lost_attempts(
    p_worker_key int, p_run_keys bigint[], p_task_idxs int[], p_map_indexes int[], p_attempt_ids uuid[]
) returns setof uuid language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    return query select i.attempt_id
    from unnest(p_run_keys, p_task_idxs, p_map_indexes, p_attempt_ids) as i(run_key, task_idx, map_index, attempt_id)
    where not exists (
        select from leoflow_core.task_instance as t
        where t.run_key = i.run_key and t.task_idx = i.task_idx and t.map_index = i.map_index
            and t.attempt_id = i.attempt_id and t.worker_key = p_worker_key and t.state in ('queued', 'running')
    );
end
$$;
comment on function leoflow_core.lost_attempts(int, bigint[], int[], int[], uuid[]) is
'Which of a worker''s attempts must stop.';
