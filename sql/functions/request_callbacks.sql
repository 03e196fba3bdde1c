-- Asks for the callbacks that the end of runs causes (Airflow, DagRun.update_state): on_success_callback with the task
-- that succeeded last, on_failure_callback with the one that failed last; a successful run also drops the deadlines it
-- has kept. Call it only for runs of versions with has_callbacks (others change nothing), after their end is written.
-- The requests are rows of the outbox, carried out after the commit: see pump_outbox.
-- Locks: none beyond the new rows. Callers: end_runs, start_runs, prepare_callbacks.
create or replace function leoflow_core.request_run_callbacks(p_run_keys bigint[]) returns void language plpgsql as $$
begin
    insert into leoflow_core.outbox (kind, run_key, task_idx, map_index, try_number, payload)
    select
        'dag_' || x.outcome, r.run_key, t.task_idx, t.map_index, t.try_number,
        jsonb_build_object('reason', case x.outcome when 'success' then 'success' else 'task_failure' end)
    from leoflow_core.dag_run as r
    join leoflow_core.dag_version as v on v.version_key = r.version_key
    cross join lateral (select case r.state when 'success' then 'success' else 'failure' end as outcome) as x
    left join lateral (
        select i.task_idx, i.map_index, i.try_number from leoflow_core.task_instance as i
        where i.run_key = r.run_key and i.state = (case r.state when 'success' then 'success' else 'failed' end)::leoflow.task_instance_state
        order by i.end_date desc nulls last, i.task_idx, i.map_index limit 1
    ) as t on true
    where r.run_key = any(p_run_keys) and r.state in ('success', 'failed')
        and (v.spec ->> ('has_on_' || x.outcome || '_callback'))::boolean
    order by r.run_key;
    delete from leoflow_core.deadline as l using leoflow_core.dag_run as r
    where l.run_key = any(p_run_keys) and r.run_key = l.run_key and not l.missed and r.state = 'success'
        and r.end_date <= l.deadline_time;
end
$$;
comment on function leoflow_core.request_run_callbacks(bigint[]) is
'Asks for the callbacks that the end of runs causes.';

-- What a new run of a version with has_callbacks needs: its deadlines, the callbacks of a run without tasks, which has
-- ended already, and that somebody looks at the outbox.
-- Locks: none beyond the new rows. Callers: create_run.
create or replace function leoflow_core.prepare_callbacks(p_run_key bigint) returns void language plpgsql as $$
begin
    perform leoflow_core.open_deadlines(p_run_key);
    perform leoflow_core.request_run_callbacks(array[p_run_key]);
    notify leoflow_callbacks;
end
$$;
comment on function leoflow_core.prepare_callbacks(bigint) is 'What a new run of a DAG with callbacks or deadlines needs.';

-- Asks for the DAG's on_failure_callback of a run that is about to time out, with the task that started last of those
-- unfinished (Airflow, SchedulerJobRunner._schedule_dag_run). Call it before the run is stopped.
-- Locks: none beyond the new row. Callers: expire_runs.
create or replace function leoflow_core.request_timeout_callback(p_run_key bigint) returns void language sql as $$
    insert into leoflow_core.outbox (kind, run_key, task_idx, map_index, try_number, payload)
    select 'dag_failure', r.run_key, t.task_idx, t.map_index, t.try_number, jsonb_build_object('reason', 'timed_out')
    from leoflow_core.dag_run as r
    join leoflow_core.dag_version as v on v.version_key = r.version_key
    left join lateral (
        select i.task_idx, i.map_index, i.try_number from leoflow_core.task_instance as i
        where i.run_key = r.run_key and not leoflow_core.is_final(i.state)
        order by i.start_date desc nulls last, i.task_idx, i.map_index limit 1
    ) as t on true
    where r.run_key = p_run_key and (v.spec ->> 'has_on_failure_callback')::boolean
$$;
comment on function leoflow_core.request_timeout_callback(bigint) is
'Asks for the DAG''s on_failure_callback of a run that is about to time out.';

-- Asks for the on_failure_callback or on_retry_callback of tasks whose own process could not run it: it was killed, or
-- its worker is lost for good (Airflow: TaskCallbackRequest). Call it after the new states are written.
-- Locks: none beyond the new rows. Callers: place_again, finish.
create or replace function leoflow_core.request_task_callbacks(
    p_instances leoflow_core.instance_ref[], p_reason text
) returns void language sql as $$
    insert into leoflow_core.outbox (kind, run_key, task_idx, map_index, try_number, payload)
    select
        'task_' || x.outcome, t.run_key, t.task_idx, t.map_index, t.try_number, jsonb_build_object('reason', p_reason)
    from unnest(p_instances) as i
    join leoflow_core.task_instance as t
        on t.run_key = i.run_key and t.task_idx = i.task_idx and t.map_index = i.map_index
    join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
    cross join lateral (
        select case t.state when 'failed' then 'failure' when 'up_for_retry' then 'retry' when 'scheduled' then 'retry' end as outcome
    ) as x
    where (k.spec ->> ('has_on_' || x.outcome || '_callback'))::boolean
    order by t.run_key, t.task_idx, t.map_index
$$;
comment on function leoflow_core.request_task_callbacks(leoflow_core.instance_ref[], text) is
'Asks for the callbacks of tasks whose own process could not run them.';

-- Carries requests from the outbox into the queue of background jobs, oldest first. Returns how many.
-- Locks: the outbox rows with SKIP LOCKED. Callers: scheduler; any number at once.
create or replace function leoflow_core.pump_outbox(p_limit int default 100) returns int language plpgsql as $$
declare
    v_jobs procrastinate.procrastinate_job_to_defer_v1[];
begin
    with chosen as materialized (
        select o.outbox_key from leoflow_core.outbox as o order by o.outbox_key limit p_limit for update skip locked
    ),
    taken as (
        delete from leoflow_core.outbox as o using chosen as c where o.outbox_key = c.outbox_key returning o.*
    )
    select array_agg(
        row('leoflow', 'callback', 0, null, null, to_jsonb(t), null)::procrastinate.procrastinate_job_to_defer_v1
        order by t.outbox_key
    ) into v_jobs from taken as t;
    if v_jobs is null then
        return 0;
    end if;
    perform procrastinate.procrastinate_defer_jobs_v1(v_jobs);
    return cardinality(v_jobs);
end
$$;
comment on function leoflow_core.pump_outbox(int) is 'Carries requests from the outbox into the queue of background jobs.';

-- Whether the DAG of a dag.json itself has callbacks or deadlines. Locks: none. Callers: register_version.
create or replace function leoflow_core.has_callbacks(p_spec jsonb) returns boolean language sql immutable as $$
    select coalesce((p_spec ->> 'has_on_success_callback')::boolean, false)
        or coalesce((p_spec ->> 'has_on_failure_callback')::boolean, false)
        or jsonb_array_length(coalesce(nullif(p_spec -> 'deadlines', 'null'), '[]')) > 0
$$;
comment on function leoflow_core.has_callbacks(jsonb) is 'Whether the DAG of a dag.json itself has callbacks or deadlines.';

-- Whether only the project's own code can say when a schedule's next run is.
-- Locks: none. Callers: register_version, scheduler.
create or replace function leoflow_core.is_custom(p_schedule jsonb) returns boolean language sql immutable as $$
    select coalesce(p_schedule ->> 'type' = 'custom' or p_schedule -> 'timetable' ->> 'type' = 'custom', false)
$$;
comment on function leoflow_core.is_custom(jsonb) is 'Whether only the project''s own code can say when a schedule''s next run is.';

-- The name under which users know a kind of request. Locks: none. Callers: leoflow.callbacks, scheduler.
create or replace function leoflow_core.callback_name(p_kind text) returns text language sql immutable as $$
    select case
        when p_kind like '%success' then 'on_success_callback'
        when p_kind like '%failure' then 'on_failure_callback'
        when p_kind like '%retry' then 'on_retry_callback'
        else p_kind
    end
$$;
comment on function leoflow_core.callback_name(text) is 'The name under which users know a kind of callback request.';
