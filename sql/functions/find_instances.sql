-- Instances of a DAG by any of the filters of Airflow's execution API, nulls for none; a task group names its tasks at any
-- depth, `null` is the state of what has none. The planner inlines it.
-- Locks: none. Callers: the execution API.
create or replace function leoflow_core.find_instances(
    p_dag_id text, p_run_ids text[], p_logical_dates timestamptz[], p_task_ids text[], p_map_index int,
    p_task_group_id text, p_states text[]
) returns table (run_id text, task_id text, map_index int, state text, operator_name text, duration float8)
language sql stable as $$
    select
        r.run_id, k.task_id, t.map_index, t.state::text, k.operator_name,
        extract(epoch from t.end_date - t.start_date)::float8
    from leoflow_core.dag as d
    join leoflow_core.dag_run as r on r.dag_key = d.dag_key
    join leoflow_core.all_task_instances as t on t.run_key = r.run_key
    join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
    where d.dag_id = p_dag_id
        and (p_run_ids is null or r.run_id = any(p_run_ids))
        and (p_logical_dates is null or r.logical_date = any(p_logical_dates))
        and (p_task_ids is null or k.task_id = any(p_task_ids))
        and (p_map_index is null or t.map_index = p_map_index)
        and (p_task_group_id is null or k.group_id = p_task_group_id or starts_with(k.group_id, p_task_group_id || '.'))
        and (p_states is null or coalesce(t.state::text, 'null') = any(p_states))
$$;
comment on function leoflow_core.find_instances(text, text[], timestamptz[], text[], int, text, text[]) is
'Instances of a DAG by any of the filters of Airflow''s execution API.';
