-- Whether max_active_tis_per_dag, max_active_tis_per_dagrun and the task's past (depends_on_past) leave room for
-- p_places more instances of a task. Exact only under the admission lock. Locks: none. Callers: admit.
create or replace function leoflow_core.task_has_room(
    p_run_key bigint, p_version_key bigint, p_task_idx int, p_places int default 1
) returns boolean language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
    v_run leoflow_core.dag_run;
    v_task leoflow_core.task;
begin
    select r.* into v_run from leoflow_core.dag_run as r where r.run_key = p_run_key;
    select t.* into v_task from leoflow_core.task as t
    where t.version_key = coalesce(p_version_key, v_run.version_key) and t.task_idx = p_task_idx;
    if v_task.max_active_tis_per_dagrun is not null and p_places + (
        select count(*) from leoflow_core.gate_token as g where g.run_key = p_run_key and g.task_idx = p_task_idx
    ) > v_task.max_active_tis_per_dagrun then
        return false;
    end if;
    if v_task.max_active_tis_per_dag is not null and p_places + (
        select count(*)
        from leoflow_core.dag_run as r
        join leoflow_core.gate_token as g on g.run_key = r.run_key
        join leoflow_core.task as t
            on t.version_key = r.version_key and t.task_idx = g.task_idx and t.task_id = v_task.task_id
        where r.dag_key = v_run.dag_key and r.state = 'running'
    ) > v_task.max_active_tis_per_dag then
        return false;
    end if;
    return leoflow_core.past_allows(v_run, v_task);
end
$$;
comment on function leoflow_core.task_has_room(bigint, bigint, int, int) is
'Whether a task''s own limits leave room for more instances.';

-- Whether the previous run lets a task with depends_on_past or wait_for_downstream run (Airflow, prev_dagrun_dep.py):
-- there is none by logical date (manual runs count only without catchup), or it was before the task's start_date (with
-- catchup), or the task succeeded or was skipped in it; with wait_for_downstream its direct successors too. The first
-- run of a backfill is free, and so is the first one of a task with ignore_first_depends_on_past, Airflow's default.
-- Locks: none. Callers: task_has_room.
create or replace function leoflow_core.past_allows(p_run leoflow_core.dag_run, p_task leoflow_core.task)
returns boolean language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
    v_previous leoflow_core.dag_run;
    v_task leoflow_core.task;
begin
    if not (p_task.depends_on_past or p_task.wait_for_downstream) or p_run.logical_date is null
        or p_run.backfill_ordinal = 1 then
        return true;
    end if;
    select r.* into v_previous
    from leoflow_core.dag_run as r
    join leoflow_core.dag as d on d.dag_key = r.dag_key
    where r.dag_key = p_run.dag_key and r.logical_date < p_run.logical_date
        and (r.run_type <> 'manual' or not d.catchup)
    order by r.logical_date desc limit 1;
    if not found or (
        v_previous.logical_date < (p_task.spec -> 'extra' ->> 'start_date')::timestamptz
        and exists (select from leoflow_core.dag as d where d.dag_key = p_run.dag_key and d.catchup)
    ) then
        return true;
    end if;
    select k.* into v_task from leoflow_core.task as k
    where k.version_key = v_previous.version_key and k.task_id = p_task.task_id and exists (
        select from leoflow_core.all_task_instances as t
        where t.run_key = v_previous.run_key and t.task_idx = k.task_idx
            and not leoflow_core.is_left_out(t.state, t.try_number)
    );
    if not found then
        -- new since then: only its own first run is free; the compiler leaves out of `extra` what is false
        return coalesce(
            p_task.spec -> 'extra' -> 'ignore_first_depends_on_past' = 'true', not p_task.spec ? 'extra'
        ) and not exists (
            select from leoflow_core.dag_run as r
            join leoflow_core.task as k on k.version_key = r.version_key and k.task_id = p_task.task_id
            join leoflow_core.all_task_instances as t on t.run_key = r.run_key and t.task_idx = k.task_idx
            where r.dag_key = p_run.dag_key and r.logical_date < p_run.logical_date
                and not leoflow_core.is_left_out(t.state, t.try_number)
        );
    end if;
    return not exists (
        select from leoflow_core.all_task_instances as t
        where t.run_key = v_previous.run_key and t.task_idx = v_task.task_idx
            and (t.state is null or t.state not in ('success', 'skipped'))
            and not leoflow_core.is_left_out(t.state, t.try_number)
    ) and (not p_task.wait_for_downstream or not exists (
        select from leoflow_core.task_edge as e
        join leoflow_core.all_task_instances as t on t.run_key = v_previous.run_key and t.task_idx = e.downstream_idx
        where e.version_key = v_previous.version_key and e.upstream_idx = v_task.task_idx and e.kind = 'd'
            and (t.state is null or t.state not in ('success', 'skipped'))
            and not leoflow_core.is_left_out(t.state, t.try_number)
    ));
end
$$;
comment on function leoflow_core.past_allows(leoflow_core.dag_run, leoflow_core.task) is
'Whether the previous run lets a task with depends_on_past run.';

-- Whether an instance is not part of its run and never was, so that in Airflow there is none (leave_out_tasks).
-- Locks: none. Callers: past_allows.
create or replace function leoflow_core.is_left_out(p_state leoflow.task_instance_state, p_try_number int) returns boolean
language sql immutable parallel safe as $$
    select p_state is not distinct from 'removed' and p_try_number = 0
$$;
comment on function leoflow_core.is_left_out(leoflow.task_instance_state, int) is
'Whether an instance is not part of its run and never was.';
