-- Starts queued runs whose run_after has come, of DAGs that are not paused, oldest first, as far as max_active_runs
-- allows; runs of a backfill as far as the backfill's own max_active_runs allows and while it is not paused, in its order
-- (Airflow counts the two apart, models/dagrun.py). Returns how many.
-- Locks: per DAG a transaction-level advisory lock, tried and never waited for (whoever holds it starts them); the
-- runs' instances in key order; a backfill's row where a run without tasks ends at once. Callers: claim, promote_due.
create or replace function leoflow_core.start_runs(p_limit int default 100) returns int language plpgsql as $$
declare
    v_dag int := null;
    v_started bigint[];
    v_ended bigint[];
    v_total int := 0;
begin
    loop
        select r.dag_key into v_dag from leoflow_core.dag_run as r
        where r.state = 'queued' and r.dag_key > coalesce(v_dag, 0) order by r.dag_key limit 1;
        exit when not found or v_total >= p_limit;
        continue when not exists (select from leoflow_core.dag as d where d.dag_key = v_dag and not d.is_paused);
        continue when not pg_try_advisory_xact_lock(leoflow_core.lock_class('start_runs'), v_dag);
        with q as materialized (
            select s.run_key
            from unnest(leoflow_core.startable_runs(v_dag, p_limit - v_total)) as s(run_key)
            join leoflow_core.dag_run as r on r.run_key = s.run_key and r.state = 'queued'
            order by s.run_key
            for update of r
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
            perform leoflow_core.complete_backfills(array[r.backfill_key])
            from leoflow_core.dag_run as r
            where r.run_key = any(v_started) and r.backfill_key is not null and r.instance_count = 0;
        end if;
    end loop;
    return v_total;
end
$$;
comment on function leoflow_core.start_runs(int) is 'Starts queued runs as far as max_active_runs allows.';

-- Which queued runs of a DAG may start: its own first, then those of its backfills. Exact only under the DAG's
-- start_runs lock. Locks: none. Callers: start_runs.
create or replace function leoflow_core.startable_runs(p_dag_key int, p_limit int) returns bigint[] language plpgsql
stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
    v_room int;
    v_runs bigint[];
    v_more bigint[];
    v_backfill record;
begin
    select least(p_limit, d.max_active_runs - (
        select count(*) from (
            select from leoflow_core.dag_run as r
            where r.dag_key = p_dag_key and r.state = 'running' and r.backfill_key is null limit d.max_active_runs
        ) as active
    ))::int into v_room
    from leoflow_core.dag as d where d.dag_key = p_dag_key;
    v_runs := array(
        select r.run_key from leoflow_core.dag_run as r
        where r.dag_key = p_dag_key and r.state = 'queued' and r.backfill_key is null and r.run_after <= clock_timestamp()
        order by r.run_key limit greatest(v_room, 0)
    );
    for v_backfill in
        select b.backfill_key, b.max_active_runs from leoflow_core.backfill as b
        where b.dag_key = p_dag_key and not (b.is_paused and b.completed_at is null) and exists (
            select from leoflow_core.dag_run as r where r.backfill_key = b.backfill_key and r.state = 'queued'
        )
        order by b.backfill_key
    loop
        v_room := least(p_limit - cardinality(v_runs), v_backfill.max_active_runs - (
            select count(*) from (
                select from leoflow_core.dag_run as r
                where r.backfill_key = v_backfill.backfill_key and r.state = 'running' limit v_backfill.max_active_runs
            ) as active
        ))::int;
        v_more := array(
            select r.run_key from leoflow_core.dag_run as r
            where r.backfill_key = v_backfill.backfill_key and r.state = 'queued' and r.run_after <= clock_timestamp()
            order by r.backfill_ordinal limit greatest(v_room, 0)
        );
        v_runs := v_runs || v_more;
    end loop;
    return v_runs;
end
$$;
comment on function leoflow_core.startable_runs(int, int) is 'Which queued runs of a DAG may start.';
