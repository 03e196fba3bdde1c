-- Sets a run to success, failed or queued by an operator's hand (Airflow, mark_tasks.set_dag_run_state_to_*).
-- success: everything becomes success, also what had failed. failed: what runs, is deferred or waits for its reschedule
-- becomes failed, what has not started skipped. Unfinished teardowns are left to run in both cases, and the run ends
-- after them. queued: it starts again; what is unfinished runs. A running run starts again at once, without a place in
-- the queue (Airflow queues it while its tasks run on).
-- Raises LF404, LF422. Returns the instances concerned; with p_dry_run nothing changes. Workers are woken at commit.
-- Locks: as lock_run. Callers: operators, API, CLI, cancel_run.
create or replace function leoflow.set_run_state(
    p_dag_id text, p_run_id text, p_state text, p_dry_run boolean default false, p_user text default null
) returns table (run_key bigint, task_idx int, map_index int)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_run bigint;
begin
    if p_state is null or p_state not in ('success', 'failed', 'queued') then
        perform leoflow_core.reject('LF422', format('a run cannot be set to %s', p_state), 'success, failed or queued');
    end if;
    select r.run_key into v_run from leoflow_core.dag_run as r
    join leoflow_core.dag as d on d.dag_key = r.dag_key
    where d.dag_id = p_dag_id and r.run_id = p_run_id;
    if not found then
        perform leoflow_core.reject('LF404',
            format('The DagRun with dag_id: `%s` and run_id: `%s` was not found', p_dag_id, p_run_id), null);
    end if;
    if p_state <> 'queued' then
        return query select v_run, t.task_idx, t.map_index
        from leoflow_core.stop_states(v_run, p_state::leoflow.dag_run_state) as t;
    end if;
    if p_dry_run then
        return;
    end if;
    if p_state = 'queued' then
        perform leoflow_core.lower_watermark(v_run);
        perform leoflow_core.lock_run(v_run);
        perform leoflow_core.recount_run(v_run);
        update leoflow_core.dag_run as r set
            state = case r.state when 'running' then 'running' else 'queued' end::leoflow.dag_run_state,
            queued_at = clock_timestamp(), start_date = case r.state when 'running' then clock_timestamp() end,
            end_date = null, updated_at = clock_timestamp()
        where r.run_key = v_run;
    else
        perform leoflow_core.stop_run(v_run, p_state::leoflow.dag_run_state);
    end if;
    perform leoflow_core.write_audit('dag_run_' || p_state, p_user, p_dag_id, p_run_id => p_run_id);
    perform leoflow_core.wake_workers();
end
$$;
comment on function leoflow.set_run_state(text, text, text, boolean, text) is 'Sets a run to success, failed or queued.';

-- Cancels a run: it becomes failed, what runs is told to stop, what has not started is skipped.
-- Raises LF404. Locks: as lock_run. Callers: operators, API, CLI.
create or replace function leoflow.cancel_run(p_dag_id text, p_run_id text, p_user text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform leoflow.set_run_state(p_dag_id, p_run_id, 'failed', false, p_user);
end
$$;
comment on function leoflow.cancel_run(text, text, text) is 'Cancels a run.';

-- What becomes of each instance when a run is ended from outside; unfinished teardowns are not among them.
-- Locks: none. Callers: set_run_state, stop_run.
create or replace function leoflow_core.stop_states(p_run_key bigint, p_state leoflow.dag_run_state)
returns table (task_idx int, map_index int, state leoflow.task_instance_state) language sql stable as $$
    select x.task_idx, x.map_index, x.state
    from (
        select
            t.task_idx, t.map_index, t.state as was, leoflow_core.is_final(t.state) as is_over, k.is_teardown,
            case
                when p_state = 'success' then 'success'
                when t.state in ('running', 'deferred', 'up_for_reschedule') then 'failed'
                else 'skipped' end::leoflow.task_instance_state as state
        from leoflow_core.all_task_instances as t
        join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
        where t.run_key = p_run_key
    ) as x
    where case p_state
        when 'success' then x.was is distinct from 'success' and (x.is_over or not x.is_teardown)
        else not x.is_over and not x.is_teardown end
    order by x.task_idx, x.map_index
$$;
comment on function leoflow_core.stop_states(bigint, leoflow.dag_run_state) is
'What becomes of each instance when a run is ended from outside.';

-- Ends a run from outside. Its running attempts lose their place and are told to stop; unfinished teardowns run.
-- Locks: as lock_run; the backfill's row of a backfill's run. Callers: set_run_state, expire_runs.
create or replace function leoflow_core.stop_run(p_run_key bigint, p_state leoflow.dag_run_state) returns void
language plpgsql
set jit = off set plan_cache_mode = auto set enable_nestloop = off -- a new version or run is not in the statistics
set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set enable_bitmapscan = on
as $$
#variable_conflict use_column
declare
    v_backfill bigint;
begin
    perform leoflow_core.lock_run(p_run_key);
    with stopped as materialized (select s.* from leoflow_core.stop_states(p_run_key, p_state) as s),
    returned as (
        delete from leoflow_core.gate_token as g using stopped as s
        where g.run_key = p_run_key and g.task_idx = s.task_idx and g.map_index = s.map_index
    )
    update leoflow_core.task_instance as t set
        state = s.state,
        ready_key = null, gate_key = null, due_at = null,
        attempt_id = case when leoflow_core.is_final(t.state) then t.attempt_id end,
        start_date = coalesce(t.start_date, clock_timestamp()), end_date = clock_timestamp()
    from stopped as s
    where t.run_key = p_run_key and t.task_idx = s.task_idx and t.map_index = s.map_index;
    if exists (
        select from leoflow_core.task_instance as t where t.run_key = p_run_key and not leoflow_core.is_final(t.state)
    ) then
        perform leoflow_core.go_on_after_marking(p_run_key);
        return;
    end if;
    perform leoflow_core.recount_run(p_run_key);
    update leoflow_core.dag_run as r set
        state = p_state, end_date = clock_timestamp(), start_date = coalesce(r.start_date, clock_timestamp()),
        updated_at = clock_timestamp()
    where r.run_key = p_run_key
    returning r.backfill_key into v_backfill;
    delete from leoflow_core.join_counter as j where j.run_key = p_run_key;
    if v_backfill is not null then
        perform leoflow_core.complete_backfills(array[v_backfill]);
    end if;
end
$$;
comment on function leoflow_core.stop_run(bigint, leoflow.dag_run_state) is 'Ends a run from outside.';
