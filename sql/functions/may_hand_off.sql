-- Whether an instance may be handed over without going through claim: its DAG is not paused, its run still runs, no
-- per-task limit applies, and its pool neither got fewer slots than are in use nor is limited although the instance
-- says otherwise (is_gated is older than the pool's slots). Locks: none. Callers: propagate.
create or replace function leoflow_core.may_hand_off(
    p_run_key bigint, p_version_key bigint, p_task_idx int, p_is_gated boolean
) returns boolean language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    return (
        select not d.is_paused and r.state = 'running' and t.max_active_tis_per_dag is null
            and t.max_active_tis_per_dagrun is null and not t.depends_on_past and not t.wait_for_downstream
            and not p.is_overdrawn and (p_is_gated or p.slots < 0)
        from leoflow_core.dag_run as r
        join leoflow_core.dag as d on d.dag_key = r.dag_key
        join leoflow_core.task as t on t.version_key = p_version_key and t.task_idx = p_task_idx
        join leoflow_core.pool as p on p.pool_key = t.pool_key
        where r.run_key = p_run_key
    );
end
$$;
comment on function leoflow_core.may_hand_off(bigint, bigint, int, boolean) is
'Whether an instance may be handed over without going through claim.';
