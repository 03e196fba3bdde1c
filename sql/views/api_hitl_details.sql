-- Contract: one row per question a task asked a person, with its answer and, for the instance's current try, the instance
-- as the API shows it. is_current is false for questions of earlier tries.
-- Callers: the API's human-in-the-loop resource, the UI's list of DAGs.
create or replace view leoflow_core.api_hitl_details as
select
    h.run_key,
    h.task_idx,
    h.map_index,
    h.try_number,
    h.options,
    h.subject,
    h.body,
    h.defaults,
    h.multiple,
    h.params,
    h.assigned_users,
    h.created_at,
    case
        when h.responded_by_id is not null
            then jsonb_build_object('id', h.responded_by_id, 'name', h.responded_by_name)
    end as responded_by_user,
    h.responded_by_id as responded_by_user_id,
    h.responded_by_name as responded_by_user_name,
    h.responded_at,
    h.chosen_options,
    h.params_input,
    h.responded_at is not null as response_received,
    h.try_number = t.try_number
    and (t.attempt_id is not null or t.is_resumed or leoflow_core.is_final(t.state)) as is_current,
    i.id as ti_id,
    i.dag_id,
    i.dag_run_id,
    i.task_id,
    i.task_display_name,
    i.state,
    i.run_after,
    i.rendered_map_index,
    i.operator,
    i.dag_key,
    to_jsonb(i) as task_instance
from leoflow_core.hitl_detail as h
join leoflow_core.all_task_instances as t
    on t.run_key = h.run_key and t.task_idx = h.task_idx and t.map_index = h.map_index
join leoflow_core.api_task_instances as i
    on i.run_key = h.run_key and i.task_idx = h.task_idx and i.map_index = h.map_index;

comment on view leoflow_core.api_hitl_details is 'Questions of tasks to people, as the API shows them.';
