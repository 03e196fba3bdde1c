-- Decides when instances that just ended an attempt run again: up_for_retry after the task's delay, a cleared one
-- (already scheduled) at once. Records the ended attempt in the history. Returns how many are ready now.
-- Locks: the instances are already locked by the caller. Callers: finish.
create or replace function leoflow_core.schedule_retries(p_instances leoflow_core.instance_ref[]) returns int
language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_ready int;
begin
    perform leoflow_core.record_attempts(p_instances, null);
    perform leoflow_core.forget_resumption(p_instances);
    with delayed as materialized (
        select
            t.run_key, t.task_idx, t.map_index,
            case when t.state = 'scheduled' then 0 else leoflow_core.retry_delay(
                d.dag_id, k.task_id, r.logical_date, t.try_number, k.retry_delay_seconds, k.retry_exponential_backoff,
                k.max_retry_delay_seconds
            ) end as seconds
        from unnest(p_instances) as i
        join leoflow_core.task_instance as t
            on leoflow_core.by_key(t.run_key, i.run_key) and t.task_idx = i.task_idx and t.map_index = i.map_index
        join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
        join leoflow_core.dag_run as r on r.run_key = t.run_key
        join leoflow_core.dag as d on d.dag_key = r.dag_key
    ),
    written as (
        update leoflow_core.task_instance as t set
            state = case when d.seconds > 0 then 'up_for_retry' else 'scheduled' end::leoflow.task_instance_state,
            due_at = case when d.seconds > 0 then t.end_date + make_interval(secs => least(d.seconds, 3e9)) end,
            scheduled_at = case when d.seconds > 0 then t.scheduled_at else clock_timestamp() end,
            ready_key = case when d.seconds > 0 or t.is_gated then null else -t.priority end,
            gate_key = case when d.seconds > 0 or not t.is_gated then null else -t.priority end,
            attempt_id = null
        from delayed as d
        where leoflow_core.by_key(t.run_key, d.run_key) and t.task_idx = d.task_idx and t.map_index = d.map_index
        returning t.state
    )
    select count(*) filter (where w.state = 'scheduled') into v_ready from written as w;
    return v_ready;
end
$$;
comment on function leoflow_core.schedule_retries(leoflow_core.instance_ref[]) is
'Decides when instances that just ended an attempt run again.';
