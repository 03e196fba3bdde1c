-- Ends runs whose instances are all final, pauses DAGs with too many failures in a row, completes backfills, drops
-- counters.
-- Locks: the runs' rows are already locked by the caller; the DAG's row when it is paused; the backfill's row of a
-- backfill's run. Callers: count_run_end, end_run_if_done.
create or replace function leoflow_core.end_runs(p_run_keys bigint[]) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_failed int[];
    v_called bigint[];
    v_backfills bigint[];
begin
    with ended as (
        update leoflow_core.dag_run as r set
            state = case when r.failed_leaves > 0 then 'failed' else 'success' end::leoflow.dag_run_state,
            end_date = clock_timestamp(), updated_at = clock_timestamp()
        where r.run_key = any(p_run_keys)
        returning r.run_key, r.dag_key, r.version_key, r.state, r.backfill_key
    )
    select
        array_agg(distinct d.dag_key) filter (where e.state = 'failed' and d.max_consecutive_failed_dag_runs > 0),
        array_agg(e.run_key) filter (where v.has_callbacks),
        array_agg(distinct e.backfill_key) filter (where e.backfill_key is not null)
    into v_failed, v_called, v_backfills
    from ended as e
    join leoflow_core.dag as d on d.dag_key = e.dag_key
    join leoflow_core.dag_version as v on v.version_key = e.version_key;
    delete from leoflow_core.join_counter as j where j.run_key = any(p_run_keys);
    if v_failed is not null then
        perform leoflow_core.pause_failing(d.dag_key) from unnest(v_failed) as d(dag_key);
    end if;
    if v_called is not null then
        perform leoflow_core.request_run_callbacks(v_called);
    end if;
    if v_backfills is not null then
        perform leoflow_core.complete_backfills(v_backfills);
    end if;
end
$$;
comment on function leoflow_core.end_runs(bigint[]) is 'Ends runs whose instances are all final.';
