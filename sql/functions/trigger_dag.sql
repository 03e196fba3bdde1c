-- Creates a manual run. In the caller's own transaction: if that rolls back, the run never existed. Workers are woken
-- at commit. Raises LF404, LF409, LF422. Locks: as create_run. Callers: operators.
create or replace function leoflow.trigger_dag(
    dag_id text, conf jsonb default null, logical_date timestamptz default null, run_id text default null
) returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_run_id text;
begin
    select r.run_id into v_run_id from leoflow_core.create_run(
        p_dag_id => dag_id, p_run_id => run_id, p_logical_date => logical_date, p_conf => conf,
        p_triggered_by => 'operator', p_user => session_user::text
    ) as r;
    perform leoflow_core.write_audit('trigger_dag_run', session_user::text, dag_id, p_run_id => v_run_id);
    perform leoflow_core.wake_workers();
    return v_run_id;
end
$$;
comment on function leoflow.trigger_dag(text, jsonb, timestamptz, text) is 'Creates a manual run and returns its run id.';
