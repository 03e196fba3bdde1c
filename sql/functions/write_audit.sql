-- Writes one line of the audit log. Locks: none beyond the new row. Callers: operator actions, API.
create or replace function leoflow_core.write_audit(
    p_event text,
    p_owner text default null,
    p_dag_id text default null,
    p_task_id text default null,
    p_run_id text default null,
    p_map_index int default null,
    p_try_number int default null,
    p_extra jsonb default null,
    p_logical_date timestamptz default null
) returns bigint language sql as $$
    insert into leoflow_core.audit_log as a (event, owner, dag_id, task_id, run_id, map_index, try_number, extra, logical_date)
    values (
        p_event, coalesce(p_owner, session_user::text), p_dag_id, p_task_id, p_run_id, p_map_index, p_try_number, p_extra,
        p_logical_date
    )
    returning a.audit_key
$$;
comment on function leoflow_core.write_audit(text, text, text, text, text, int, int, jsonb, timestamptz) is
'Writes one line of the audit log.';

-- Writes one line for an action on tasks (as for clear_tasks: names, or [name, map index]): with the task's name if it
-- is one, so that it is found among its events. Locks: as write_audit. Callers: clear_tasks, mark_tasks.
create or replace function leoflow_core.audit_tasks(
    p_event text, p_owner text, p_dag_id text, p_run_id text, p_tasks jsonb, p_extra jsonb
) returns bigint language sql as $$
    select leoflow_core.write_audit(
        p_event, p_owner, p_dag_id, p_run_id => p_run_id, p_extra => p_extra || jsonb_build_object('tasks', p_tasks),
        p_task_id => case jsonb_typeof(t.only) when 'string' then t.only #>> '{}' when 'array' then t.only ->> 0 end,
        p_map_index => case when jsonb_typeof(t.only) = 'array' then (t.only ->> 1)::int end
    )
    from (
        select case when jsonb_typeof(p_tasks) = 'array' and jsonb_array_length(p_tasks) = 1 then p_tasks -> 0 end as only
    ) as t
$$;
comment on function leoflow_core.audit_tasks(text, text, text, text, jsonb, jsonb) is
'Writes one line of the audit log for an action on tasks.';
