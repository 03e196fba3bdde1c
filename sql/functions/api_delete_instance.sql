-- Contract: takes one instance out of its run: it becomes removed, Airflow's state for what is no longer part of a run,
-- so that what depends on it still knows where it stands. Raises LF404 for an unknown instance.
-- Locks: as mark_run_tasks. Callers: the API.
create or replace function leoflow_core.api_delete_instance(
    p_dag_id text, p_run_id text, p_task_id text, p_map_index int
)
returns void
language plpgsql
as $$
declare
    v_instance leoflow_core.instance_ref;
begin
    select i.run_key, i.task_idx, i.map_index into v_instance
    from leoflow_core.api_task_instances i
    where i.dag_id = p_dag_id and i.dag_run_id = p_run_id and i.task_id = p_task_id and i.map_index = p_map_index;
    if not found then
        perform leoflow_core.reject('LF404', format(
            'The Task Instance with dag_id: `%s`, run_id: `%s`, task_id: `%s` and map_index: `%s` was not found',
            p_dag_id, p_run_id, p_task_id, p_map_index
        ));
    end if;
    perform leoflow_core.mark_run_tasks(v_instance.run_key, array[v_instance], 'removed');
end;
$$;

comment on function leoflow_core.api_delete_instance(text, text, text, int) is 'Takes an instance out of its run.';
