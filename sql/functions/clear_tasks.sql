-- Clears task instances so that they run again, and reopens their runs (Airflow, clear_task_instances). Running
-- attempts become restarting and are told to stop; what they still report starts the next try. Returns the instances
-- concerned; with p_dry_run nothing changes. p_latest_version moves the runs to their DAG's latest version. Workers are
-- woken at commit.
-- Raises LF404 (unknown), LF409 (p_prevent_running and something runs).
-- Locks: the low watermark, then run by run as lock_run. Callers: operators, API, CLI.
create or replace function leoflow.clear_tasks(
    p_dag_id text,
    p_run_id text default null,
    p_tasks jsonb default null,
    p_upstream boolean default false,
    p_downstream boolean default false,
    p_past boolean default false,
    p_future boolean default false,
    p_only_failed boolean default false,
    p_only_running boolean default false,
    p_dry_run boolean default false,
    p_reset_runs boolean default true,
    p_prevent_running boolean default false,
    p_user text default null,
    p_start timestamptz default null,
    p_end timestamptz default null,
    p_latest_version boolean default false
) returns table (run_key bigint, task_idx int, map_index int)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_refs leoflow_core.instance_ref[];
    v_run bigint;
begin
    select array_agg((s.run_key, s.task_idx, s.map_index)::leoflow_core.instance_ref order by s.run_key, s.task_idx, s.map_index)
    into v_refs
    from leoflow_core.select_tasks(
        p_dag_id, p_run_id, p_tasks, p_upstream, p_downstream, p_past, p_future, p_start, p_end
    ) as s
    join leoflow_core.all_task_instances as t
        on t.run_key = s.run_key and t.task_idx = s.task_idx and t.map_index = s.map_index
    where (not p_only_failed or t.state in ('failed', 'upstream_failed'))
        and (not p_only_running or t.state = 'running');
    if v_refs is null then
        return;
    end if;
    if p_prevent_running and exists (
        select from unnest(v_refs) as i
        join leoflow_core.all_task_instances as t
            on t.run_key = i.run_key and t.task_idx = i.task_idx and t.map_index = i.map_index
        where t.state = 'running'
    ) then
        perform leoflow_core.reject('LF409',
            'AirflowClearRunningTaskException: Disable ''prevent_running_task'' to proceed, or wait until the task is not running, queued, or scheduled state.',
            'wait until the tasks are done, or allow clearing running ones');
    end if;
    if not p_dry_run then
        perform leoflow_core.lower_watermark((select min(i.run_key) from unnest(v_refs) as i));
        for v_run in select distinct i.run_key from unnest(v_refs) as i order by i.run_key loop
            perform leoflow_core.clear_run_tasks(v_run, array(
                select (i.run_key, i.task_idx, i.map_index)::leoflow_core.instance_ref from unnest(v_refs) as i where i.run_key = v_run
            ), p_reset_runs, p_latest_version);
        end loop;
        perform leoflow_core.audit_tasks('clear', p_user, p_dag_id, p_run_id, p_tasks, jsonb_build_object(
            'upstream', p_upstream, 'downstream', p_downstream, 'past', p_past, 'future', p_future,
            'only_failed', p_only_failed, 'only_running', p_only_running,
            'run_on_latest_version', p_latest_version, 'instances', cardinality(v_refs)
        ));
        perform leoflow_core.wake_workers();
    end if;
    return query select i.run_key, i.task_idx, i.map_index from unnest(v_refs) as i;
end
$$;
comment on function leoflow.clear_tasks(
    text, text, jsonb, boolean, boolean, boolean, boolean, boolean, boolean, boolean, boolean, boolean, text,
    timestamptz, timestamptz, boolean
) is 'Clears task instances so that they run again.';

-- Makes sure that claims look at runs from this key on; holds the watermark until the end of the transaction.
-- Locks: the watermark. Callers: clear_tasks, set_run_state.
create or replace function leoflow_core.lower_watermark(p_run_key bigint) returns void language sql as $$
    update leoflow_core.low_watermark as w set run_key = least(w.run_key, p_run_key)
$$;
comment on function leoflow_core.lower_watermark(bigint) is 'Makes sure that claims look at runs from this key on.';

-- Clears instances of one run. Locks: as lock_run. Callers: clear_tasks, clear_whole_run, mark_tasks.
create or replace function leoflow_core.clear_run_tasks(
    p_run_key bigint, p_instances leoflow_core.instance_ref[], p_reset_run boolean, p_latest_version boolean default false
) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
begin
    perform leoflow_core.lock_run(p_run_key);
    perform leoflow_core.record_attempts(array(
        select (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref
        from unnest(p_instances) as i
        join leoflow_core.task_instance as t
            on t.run_key = i.run_key and t.task_idx = i.task_idx and t.map_index = i.map_index
        where t.state is distinct from 'running' and t.state is distinct from 'restarting'
    ), 'cleared');
    if p_latest_version then
        perform leoflow_core.move_run(p_run_key, p_instances);
    end if;
    delete from leoflow_core.gate_token as g
    using unnest(p_instances) as i
    join leoflow_core.task_instance as t
        on t.run_key = i.run_key and t.task_idx = i.task_idx and t.map_index = i.map_index
    where g.run_key = i.run_key and g.task_idx = i.task_idx and g.map_index = i.map_index and t.state = 'queued';
    update leoflow_core.task_instance_extra as x set next_method = null, next_kwargs = null
    from unnest(p_instances) as i
    where x.run_key = i.run_key and x.task_idx = i.task_idx and x.map_index = i.map_index and x.next_method is not null;
    update leoflow_core.task_instance as t set
        state = case when t.state in ('running', 'restarting') then 'restarting'::leoflow.task_instance_state end,
        attempt_id = case when t.state in ('running', 'restarting') then t.attempt_id end,
        -- a running one keeps its tries: the attempt that is stopped does not count (Airflow, clear_task_instances)
        max_tries = case when t.state in ('running', 'restarting') then t.max_tries else t.try_number + k.retries end,
        ready_key = null, gate_key = null, due_at = null, is_resumed = false, infra_retries = 0, reschedules = 0,
        scheduled_at = null, expands = k.expands and t.state is distinct from 'running' and t.state is distinct from 'restarting',
        start_date = case when t.state in ('running', 'restarting') then t.start_date end,
        end_date = null
    from unnest(p_instances) as i, leoflow_core.task as k
    where t.run_key = i.run_key and t.task_idx = i.task_idx and t.map_index = i.map_index
        and k.version_key = t.version_key and k.task_idx = t.task_idx
        -- of a task the latest version does not have
        and not (p_latest_version and t.state = 'removed' and not exists (
            select from leoflow_core.dag_run as r where r.run_key = t.run_key and r.version_key = t.version_key
        ));
    if p_latest_version then
        perform leoflow_core.remap_instances(p_run_key);
    end if;
    perform leoflow_core.leave_out_tasks(p_run_key);
    perform leoflow_core.recount_run(p_run_key);
    perform leoflow_core.reopen_run(p_run_key, p_reset_run);
end
$$;
comment on function leoflow_core.clear_run_tasks(bigint, leoflow_core.instance_ref[], boolean, boolean) is
'Clears instances of one run.';

-- Lets a run go on after instances of it were cleared: a finished one is queued again if p_reset_run, a running one
-- goes on at once. Locks: the caller holds the run. Callers: clear_run_tasks, add_new_tasks.
create or replace function leoflow_core.reopen_run(p_run_key bigint, p_reset_run boolean) returns void
language plpgsql as $$
declare
    v_state leoflow.dag_run_state;
begin
    if p_reset_run then
        perform leoflow_core.move_deadlines(p_run_key, clock_timestamp());
        update leoflow_core.dag_run as r set
            clear_number = r.clear_number + 1,
            queued_at = clock_timestamp(),
            state = case when r.state in ('success', 'failed') then 'queued' else r.state end,
            start_date = case when r.state not in ('success', 'failed') then r.start_date end,
            end_date = case when r.state not in ('success', 'failed') then r.end_date end,
            updated_at = clock_timestamp()
        where r.run_key = p_run_key;
    end if;
    select r.state into v_state from leoflow_core.dag_run as r where r.run_key = p_run_key;
    if v_state = 'running' then
        perform leoflow_core.evaluate_run(p_run_key);
        perform leoflow_core.end_run_if_done(p_run_key);
    end if;
end
$$;
comment on function leoflow_core.reopen_run(bigint, boolean) is 'Lets a run go on after instances of it were cleared.';

-- Clears every instance of a finished run. Locks: as lock_run. Callers: create_backfill.
create or replace function leoflow_core.clear_whole_run(p_run_key bigint, p_latest_version boolean) returns void
language sql as $$
    select leoflow_core.clear_run_tasks(p_run_key, array(
        select (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref from leoflow_core.all_task_instances as t
        where t.run_key = p_run_key
    ), true, p_latest_version)
$$;
comment on function leoflow_core.clear_whole_run(bigint, boolean) is 'Clears every instance of a finished run.';
