-- Fails running runs that run longer than their DAG's dagrun_timeout; what has not finished is skipped, as in
-- Airflow, and running attempts are told to stop. Returns how many runs.
-- Locks: per run as lock_run. Callers: scheduler.
create or replace function leoflow_core.expire_runs(p_limit int default 100) returns int language plpgsql as $$
declare
    v_run record;
    v_done int := 0;
begin
    for v_run in
        select r.run_key, r.run_id, d.dag_id
        from leoflow_core.dag as d
        join leoflow_core.dag_run as r on r.dag_key = d.dag_key and r.state = 'running'
        where d.dagrun_timeout_seconds is not null
            and extract(epoch from clock_timestamp() - r.start_date) > d.dagrun_timeout_seconds -- of any size, so no date
        order by r.run_key limit p_limit
    loop
        perform leoflow_core.request_timeout_callback(v_run.run_key);
        perform leoflow_core.skip_unfinished(v_run.run_key);
        perform leoflow_core.stop_run(v_run.run_key, 'failed');
        perform leoflow_core.write_audit('dagrun_timeout', 'scheduler', v_run.dag_id, p_run_id => v_run.run_id);
        v_done := v_done + 1;
    end loop;
    return v_done;
end
$$;
comment on function leoflow_core.expire_runs(int) is 'Fails runs that run longer than their dagrun_timeout.';

-- Skips everything unfinished in a run. Locks: those instances in key order. Callers: expire_runs.
create or replace function leoflow_core.skip_unfinished(p_run_key bigint) returns void language plpgsql as $$
begin
    perform from leoflow_core.task_instance as t where t.run_key = p_run_key order by t.task_idx, t.map_index for update;
    update leoflow_core.task_instance as t set
        state = 'skipped', ready_key = null, gate_key = null, due_at = null, attempt_id = null,
        start_date = coalesce(t.start_date, clock_timestamp()), end_date = clock_timestamp()
    where t.run_key = p_run_key and not leoflow_core.is_final(t.state);
end
$$;
comment on function leoflow_core.skip_unfinished(bigint) is 'Skips everything unfinished in a run.';
