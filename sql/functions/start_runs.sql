-- Starts queued runs as far as max_active_runs allows, oldest first, of DAGs that are not paused. Returns how many.
-- Locks: per DAG a transaction-level advisory lock, tried and never waited for (whoever holds it starts them); the
-- runs' instances in key order. Callers: claim, promote_due.
create or replace function leoflow_core.start_runs(p_limit int default 100) returns int language plpgsql as $$
declare
    v_dag int := null;
    v_room int;
    v_started bigint[];
    v_ended bigint[];
    v_total int := 0;
begin
    loop
        select r.dag_key into v_dag from leoflow_core.dag_run as r
        where r.state = 'queued' and r.dag_key > coalesce(v_dag, 0) order by r.dag_key limit 1;
        exit when not found or v_total >= p_limit;
        continue when not pg_try_advisory_xact_lock(leoflow_core.lock_class('start_runs'), v_dag);
        select least(p_limit - v_total, d.max_active_runs - (
            select count(*) from (
                select from leoflow_core.dag_run as r
                where r.dag_key = v_dag and r.state = 'running' limit d.max_active_runs
            ) as active
        ))::int into v_room
        from leoflow_core.dag as d where d.dag_key = v_dag and not d.is_paused;
        continue when coalesce(v_room, 0) <= 0;
        with q as materialized (
            select r.run_key from leoflow_core.dag_run as r
            where r.dag_key = v_dag and r.state = 'queued' order by r.run_key limit v_room for update
        ),
        started as (
            update leoflow_core.dag_run as r set
                state = case when r.instance_count = 0 then 'success' else 'running' end::leoflow.dag_run_state,
                start_date = coalesce(r.start_date, clock_timestamp()),
                end_date = case when r.instance_count = 0 then clock_timestamp() end,
                updated_at = clock_timestamp()
            from q where r.run_key = q.run_key returning r.run_key, r.state
        )
        select array_agg(s.run_key order by s.run_key), array_agg(s.run_key) filter (where s.state = 'success')
        into v_started, v_ended from started as s;
        if v_ended is not null then
            perform leoflow_core.request_run_callbacks(v_ended);
        end if;
        if v_started is not null then
            v_total := v_total + cardinality(v_started);
            perform leoflow_core.evaluate_run(s.run_key) from unnest(v_started) as s(run_key);
            -- an operator may have marked all that was left while the run was queued
            perform leoflow_core.end_run_if_done(s.run_key) from unnest(v_started) as s(run_key);
        end if;
    end loop;
    return v_total;
end
$$;
comment on function leoflow_core.start_runs(int) is 'Starts queued runs as far as max_active_runs allows.';
