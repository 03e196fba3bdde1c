-- Sets task instances to success, failed or skipped by an operator's hand (Airflow, mark_tasks.set_state): running
-- attempts lose their place and are told to stop; what follows from the new states happens at once. Failed and
-- upstream_failed instances downstream of p_tasks are cleared, so that the run goes on (set_task_instance_state).
-- Returns the instances marked (those not in that state already); with p_dry_run nothing changes. Workers are woken at
-- commit.
-- Raises LF404, LF422.
-- Locks: run by run as lock_run, then as propagate. Callers: operators, API, CLI.
create or replace function leoflow.mark_tasks(
    p_dag_id text,
    p_run_id text,
    p_tasks jsonb,
    p_state text,
    p_upstream boolean default false,
    p_downstream boolean default false,
    p_past boolean default false,
    p_future boolean default false,
    p_dry_run boolean default false,
    p_user text default null
) returns table (run_key bigint, task_idx int, map_index int)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_refs leoflow_core.instance_ref[];
    v_again leoflow_core.instance_ref[];
    v_batch leoflow_core.instance_ref[];
    v_run bigint;
begin
    if p_state is null or p_state not in ('success', 'failed', 'skipped') then
        perform leoflow_core.reject('LF422', format('a task cannot be marked as %s', p_state), 'success, failed or skipped');
    end if;
    select array_agg((s.run_key, s.task_idx, s.map_index)::leoflow_core.instance_ref order by s.run_key, s.task_idx, s.map_index)
    into v_refs
    from leoflow_core.select_tasks(
        p_dag_id, p_run_id, p_tasks, p_upstream, p_downstream, p_past, p_future, p_on_schedule => true
    ) as s
    join leoflow_core.all_task_instances as t
        on t.run_key = s.run_key and t.task_idx = s.task_idx and t.map_index = s.map_index
    where t.state is distinct from p_state::leoflow.task_instance_state;
    if v_refs is null or p_dry_run then
        return query select i.run_key, i.task_idx, i.map_index from unnest(v_refs) as i;
        return;
    end if;
    for v_run in select distinct i.run_key from unnest(v_refs) as i order by i.run_key loop
        perform leoflow_core.mark_run_tasks(v_run, array(
            select (i.run_key, i.task_idx, i.map_index)::leoflow_core.instance_ref from unnest(v_refs) as i where i.run_key = v_run
        ), p_state::leoflow.task_instance_state, false);
    end loop;
    v_again := leoflow_core.failed_after(p_dag_id, p_run_id, p_tasks, p_past, p_future);
    if v_again is not null then
        perform leoflow_core.lower_watermark((select min(i.run_key) from unnest(v_again) as i));
    end if;
    for v_run in select i.run_key from unnest(v_refs || v_again) as i group by i.run_key order by i.run_key loop
        v_batch := array(
            select (i.run_key, i.task_idx, i.map_index)::leoflow_core.instance_ref from unnest(v_again) as i where i.run_key = v_run
        );
        if cardinality(v_batch) > 0 then
            perform leoflow_core.clear_run_tasks(v_run, v_batch, true);
        else
            perform leoflow_core.go_on_after_marking(v_run);
        end if;
    end loop;
    perform leoflow_core.audit_tasks(p_state, p_user, p_dag_id, p_run_id, p_tasks, jsonb_build_object(
        'upstream', p_upstream, 'downstream', p_downstream, 'past', p_past, 'future', p_future,
        'instances', cardinality(v_refs), 'cleared', coalesce(cardinality(v_again), 0)
    ));
    perform leoflow_core.wake_workers();
    return query select i.run_key, i.task_idx, i.map_index from unnest(v_refs) as i;
end
$$;
comment on function leoflow.mark_tasks(text, text, jsonb, text, boolean, boolean, boolean, boolean, boolean, text) is
'Sets task instances to success, failed or skipped.';

-- The failed and upstream_failed instances downstream of tasks that were marked, and of the setups and teardowns that
-- come along, in the run and with past or future in the earlier or later ones, those tasks themselves left out
-- (Airflow, set_task_instance_state). Locks: none. Callers: mark_tasks.
create or replace function leoflow_core.failed_after(
    p_dag_id text, p_run_id text, p_tasks jsonb, p_past boolean, p_future boolean
) returns leoflow_core.instance_ref[] language plpgsql stable as $$
declare
    v_ids text[] := array(
        select case jsonb_typeof(e.item) when 'array' then e.item ->> 0 else e.item #>> '{}' end
        from jsonb_array_elements(p_tasks) as e(item)
    );
begin
    return (
        select array_agg(
            (s.run_key, s.task_idx, s.map_index)::leoflow_core.instance_ref order by s.run_key, s.task_idx, s.map_index
        )
        from leoflow_core.select_tasks(p_dag_id, p_run_id, to_jsonb(v_ids), false, true, p_past, p_future) as s
        join leoflow_core.all_task_instances as t
            on t.run_key = s.run_key and t.task_idx = s.task_idx and t.map_index = s.map_index
        join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
        where t.state in ('failed', 'upstream_failed') and k.task_id <> all(v_ids)
    );
end
$$;
comment on function leoflow_core.failed_after(text, text, jsonb, boolean, boolean) is
'The failed instances downstream of tasks that were marked.';

-- Sets instances of one run to a final state; p_goes_on false: the caller lets the run go on afterwards.
-- Locks: as lock_run, then as propagate.
-- Callers: mark_tasks, api_delete_instance.
create or replace function leoflow_core.mark_run_tasks(
    p_run_key bigint, p_instances leoflow_core.instance_ref[], p_state leoflow.task_instance_state,
    p_goes_on boolean default true
) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
begin
    perform leoflow_core.lock_run(p_run_key);
    delete from leoflow_core.gate_token as g using unnest(p_instances) as i
    where g.run_key = i.run_key and g.task_idx = i.task_idx and g.map_index = i.map_index;
    update leoflow_core.task_instance as t set
        state = p_state, ready_key = null, gate_key = null, due_at = null,
        -- a live attempt loses its place; a finished one keeps its id
        attempt_id = case when leoflow_core.is_final(t.state) then t.attempt_id end,
        start_date = coalesce(t.start_date, clock_timestamp()), end_date = clock_timestamp()
    from unnest(p_instances) as i
    where t.run_key = i.run_key and t.task_idx = i.task_idx and t.map_index = i.map_index;
    if p_goes_on then
        perform leoflow_core.go_on_after_marking(p_run_key);
    end if;
end
$$;
comment on function leoflow_core.mark_run_tasks(
    bigint, leoflow_core.instance_ref[], leoflow.task_instance_state, boolean
) is 'Sets instances of one run to a final state.';

-- Does what follows from states an operator set: counts anew and, in a running run, decides and ends it.
-- Locks: the caller holds the run. Callers: mark_run_tasks, mark_tasks, stop_run.
create or replace function leoflow_core.go_on_after_marking(p_run_key bigint) returns void language plpgsql as $$
begin
    perform leoflow_core.recount_run(p_run_key);
    if exists (select from leoflow_core.dag_run as r where r.run_key = p_run_key and r.state = 'running') then
        perform leoflow_core.evaluate_run(p_run_key);
        perform leoflow_core.end_run_if_done(p_run_key);
    end if;
end
$$;
comment on function leoflow_core.go_on_after_marking(bigint) is 'Does what follows from states an operator set.';
