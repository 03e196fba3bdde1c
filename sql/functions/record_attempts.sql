-- Copies the current attempts of instances into the history, because another attempt will follow.
-- p_reason says why, where it was not the user's code. Locks: none beyond its new rows. Callers: schedule_retries,
-- reap, clear_tasks.
create or replace function leoflow_core.record_attempts(p_instances leoflow_core.instance_ref[], p_reason text)
returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    insert into leoflow_core.task_attempt_history (
        run_key, task_idx, map_index, try_number, attempt_id, version_key, state, max_tries, scheduled_at, queued_at,
        start_date, end_date, worker_key, pid, hostname, reason
    )
    select
        t.run_key, t.task_idx, t.map_index, t.try_number, t.attempt_id, t.version_key,
        case when t.state in ('success', 'skipped', 'upstream_failed', 'removed') then t.state else 'failed' end,
        t.max_tries, t.scheduled_at, t.queued_at, t.start_date, coalesce(t.end_date, clock_timestamp()), t.worker_key,
        t.pid, t.hostname, p_reason
    from unnest(p_instances) as i
    join leoflow_core.task_instance as t
        on leoflow_core.by_key(t.run_key, i.run_key) and t.task_idx = i.task_idx and t.map_index = i.map_index
    where t.attempt_id is not null
    on conflict (run_key, task_idx, map_index, try_number, attempt_id) do nothing;
end
$$;
comment on function leoflow_core.record_attempts(leoflow_core.instance_ref[], text) is
'Copies the current attempts of instances into the history.';
