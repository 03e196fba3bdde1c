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
