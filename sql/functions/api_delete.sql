-- Contract: deletes a DAG that has no running instance, with its versions, runs, XComs and logs. Raises LF404 for an
-- unknown DAG, LF409 while instances run.
-- Locks: the DAG's row, then by cascade its runs. Callers: the API.
create or replace function leoflow_core.api_delete_dag(p_dag_id text)
returns void
language plpgsql
as $$
declare
    l_dag_key int;
begin
    select d.dag_key into l_dag_key from leoflow_core.dag d where d.dag_id = p_dag_id for update;
    if not found then
        raise exception using errcode = 'LF404', message = format('The Dag with ID: `%s` was not found', p_dag_id);
    end if;
    if exists (
        select
        from leoflow_core.dag_run r
        join leoflow_core.task_instance i using (run_key)
        where r.dag_key = l_dag_key and r.state in ('queued', 'running') and i.state in ('running', 'queued')
    ) then
        raise exception using
            errcode = 'LF409',
            message = format('Task instances of dag with id: ''%s'' are still running', p_dag_id),
            hint = 'Pause the DAG and wait for its tasks, or mark its runs as failed.';
    end if;
    perform leoflow_core.api_delete_runs(array(
        select r.run_key from leoflow_core.dag_run r where r.dag_key = l_dag_key order by r.run_key
    ));
    delete from leoflow_core.dag where dag_key = l_dag_key;
end;
$$;

comment on function leoflow_core.api_delete_dag(text) is 'Deletes a DAG that has no running instance, with its history.';

-- Contract: deletes runs with their instances, XComs and logs.
-- Locks: the runs' rows in key order. Callers: api_delete_dag, the API's deletion of a run.
create or replace function leoflow_core.api_delete_runs(p_run_keys bigint[])
returns void
language sql
begin atomic
    delete from leoflow_core.xcom where run_key = any(p_run_keys);
    delete from leoflow_core.task_log where run_key = any(p_run_keys);
    delete from leoflow_core.dag_run where run_key = any(p_run_keys);
end;

comment on function leoflow_core.api_delete_runs(bigint[]) is 'Deletes runs with their instances, XComs and logs.';
