-- Takes a DAG out of service whose project vanished: no new runs; its history stays. False: unknown.
-- Its schedule, inlets and outlets no longer keep assets active.
-- Locks: the DAG's row, then as register_assets. Callers: watcher.
create or replace function leoflow_core.deactivate_dag(p_dag_id text) returns boolean language plpgsql as $$
begin
    update leoflow_core.dag as d set
        is_stale = true, next_run_after = null, next_logical_date = null, next_data_interval_start = null,
        next_data_interval_end = null
    where d.dag_id = p_dag_id;
    if found then
        perform leoflow_core.register_assets(d.dag_key, null) from leoflow_core.dag as d where d.dag_id = p_dag_id;
        notify leoflow_schedule;
        return true;
    end if;
    return false;
end
$$;
comment on function leoflow_core.deactivate_dag(text) is 'Takes a DAG out of service; its history stays.';
