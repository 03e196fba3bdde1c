-- Makes instances whose time has come claimable (retries, reschedules, deferrals that timed out), and starts queued runs that have room.
-- Returns how many rows it moved; wake workers if it is not 0.
-- Locks: instances with SKIP LOCKED; as start_runs. Callers: scheduler. Any number at once.
create or replace function leoflow_core.promote_due(p_limit int default 1000) returns int language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_moved int;
    v_again leoflow_core.instance_ref[];
begin
    with due as materialized (
        select t.run_key, t.task_idx, t.map_index
        from leoflow_core.task_instance as t
        where t.due_at <= clock_timestamp() and t.state in ('up_for_retry', 'up_for_reschedule')
        order by t.due_at limit p_limit
        for update skip locked
    ),
    moved as (
        update leoflow_core.task_instance as t set
            state = 'scheduled', due_at = null, scheduled_at = clock_timestamp(),
            attempt_id = null,
            is_resumed = t.state = 'up_for_reschedule',
            ready_key = case when not t.is_gated then -t.priority end,
            gate_key = case when t.is_gated then -t.priority end
        from due as d
        where leoflow_core.by_key(t.run_key, d.run_key) and t.task_idx = d.task_idx and t.map_index = d.map_index
        returning t.run_key, t.task_idx, t.map_index, t.is_resumed
    )
    select
        count(*),
        array_agg((m.run_key, m.task_idx, m.map_index)::leoflow_core.instance_ref) filter (where m.is_resumed)
    into v_moved, v_again from moved as m;
    if v_again is not null then
        perform leoflow_core.forget_resumption(v_again);
    end if;
    return v_moved + leoflow_core.expire_triggers(p_limit) + leoflow_core.start_runs();
end
$$;
comment on function leoflow_core.promote_due(int) is 'Makes instances whose time has come claimable; starts queued runs.';

-- When promote_due has work next; null when nothing waits for a time. Locks: none. Callers: scheduler.
create or replace function leoflow_core.next_due() returns timestamptz language sql stable as $$
    select least(
        (select min(t.due_at) from leoflow_core.task_instance as t where t.due_at is not null),
        (
            select min(r.run_after) from leoflow_core.dag_run as r
            where r.state = 'queued' and r.run_after > clock_timestamp()
        )
    )
$$;
comment on function leoflow_core.next_due() is 'When promote_due has work next.';

-- Raises the low watermark to the oldest unfinished run. Locks: the watermark's row, which clear_tasks holds while it
-- reopens an older run. Callers: scheduler, about once a second.
create or replace function leoflow_core.refresh_watermark() returns bigint language plpgsql as $$
declare
    v_oldest bigint;
begin
    perform set_config('synchronous_commit', 'off', true);
    perform from leoflow_core.low_watermark for update;
    select coalesce(
        (select r.run_key from leoflow_core.dag_run as r where r.state in ('queued', 'running') order by r.run_key limit 1),
        leoflow_core.run_key_at(clock_timestamp() - interval '1 hour')
    ) into v_oldest;
    update leoflow_core.low_watermark as w set run_key = v_oldest where w.run_key <> v_oldest;
    return v_oldest;
end
$$;
comment on function leoflow_core.refresh_watermark() is 'Raises the low watermark to the oldest unfinished run.';
