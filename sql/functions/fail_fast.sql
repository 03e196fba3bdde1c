-- For DAGs with fail_fast: when one of the given instances failed for good, ends the rest of its run, running ones as
-- failed, the others as skipped; teardowns and other instances of the same mapped task go on (Airflow,
-- _stop_remaining_tasks). Returns what it settled; all of it
-- already counted downstream, so that propagation finds nothing left to decide but teardowns.
-- Locks: the run's unfinished instances in key order. Callers: finish, reap.
create or replace function leoflow_core.fail_fast(p_failed leoflow_core.instance_ref[])
returns leoflow_core.settled[] language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_failed leoflow_core.instance_ref[];
    v_settled leoflow_core.settled[];
begin
    select array_agg(distinct f::leoflow_core.instance_ref) into v_failed
    from unnest(p_failed) as f
    join leoflow_core.dag_run as r on r.run_key = f.run_key
    join leoflow_core.dag_version as v on v.version_key = r.version_key
    join leoflow_core.task as k on k.version_key = r.version_key and k.task_idx = f.task_idx
    where v.fail_fast and not k.is_teardown;
    if v_failed is null then
        return null;
    end if;
    with locked as materialized (
        select t.run_key, t.task_idx, t.map_index, t.state, t.is_gated
        from (select distinct f.run_key from unnest(v_failed) as f) as x
        join leoflow_core.task_instance as t on t.run_key = x.run_key
        join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
        where (t.state is null or t.state not in ('success', 'failed', 'skipped', 'upstream_failed', 'removed'))
            and not k.is_teardown
            and exists (select from unnest(v_failed) as f where f.run_key = t.run_key and f.task_idx <> t.task_idx)
        order by t.run_key, t.task_idx, t.map_index
        for update of t
    ),
    tokens as (
        delete from leoflow_core.gate_token as g using locked as l
        where leoflow_core.by_key(g.run_key, l.run_key) and g.task_idx = l.task_idx and g.map_index = l.map_index
    ),
    written as (
        update leoflow_core.task_instance as t set
            state = case when t.state in ('running', 'restarting', 'queued') then 'failed' else 'skipped' end::leoflow.task_instance_state,
            ready_key = null, gate_key = null, due_at = null, attempt_id = null,
            start_date = coalesce(t.start_date, clock_timestamp()), end_date = clock_timestamp()
        from locked as l
        where leoflow_core.by_key(t.run_key, l.run_key) and t.task_idx = l.task_idx and t.map_index = l.map_index
        returning leoflow_core.as_settled(t) as settled
    )
    select array_agg(w.settled) into v_settled from written as w;
    return v_settled;
end
$$;
comment on function leoflow_core.fail_fast(leoflow_core.instance_ref[]) is 'Ends the rest of a run whose DAG has fail_fast.';
