-- Whether max_active_tis_per_dag and max_active_tis_per_dagrun leave room for p_places more instances of a task.
-- Exact only under the admission lock. Locks: none. Callers: admit.
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
    return true;
end
$$;
comment on function leoflow_core.task_has_room(bigint, bigint, int, int) is
'Whether a task''s own limits leave room for more instances.';
