-- Pauses a DAG whose last max_consecutive_failed_dag_runs runs all failed, and says so in the audit log. The last runs
-- are those that were due last, finished or not (Airflow, _check_last_n_dagruns_failed).
-- Locks: the DAG's row; as refresh_watchers. Callers: end_runs.
create or replace function leoflow_core.pause_failing(p_dag_key int) returns void language plpgsql as $$
declare
    v_dag leoflow_core.dag;
    v_failed int;
begin
    select d.* into v_dag from leoflow_core.dag as d where d.dag_key = p_dag_key;
    select count(*) filter (where x.state = 'failed') into v_failed
    from (
        select r.state from leoflow_core.dag_run as r where r.dag_key = p_dag_key
        order by r.run_after desc, r.run_key desc limit v_dag.max_consecutive_failed_dag_runs
    ) as x;
    if v_failed >= v_dag.max_consecutive_failed_dag_runs and not v_dag.is_paused then
        update leoflow_core.dag as d set is_paused = true where d.dag_key = p_dag_key;
        perform leoflow_core.refresh_watchers();
        perform leoflow_core.write_audit('paused', 'scheduler', v_dag.dag_id, p_extra => jsonb_build_object(
            'reason', format('%s consecutive failed runs', v_failed)
        ));
    end if;
end
$$;
comment on function leoflow_core.pause_failing(int) is 'Pauses a DAG with too many failed runs in a row.';
