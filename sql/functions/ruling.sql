-- What becomes of an instance without a state: what its trigger rule makes of the states that were counted, combined with
-- its implied edges; null: it waits. p_extra_failed, p_extra_skipped: of its indirect setups and of what it is mapped over.
-- An instance that waits for one that was taken out of the run would wait for ever; it is upstream_failed (in Airflow it
-- keeps no state, and the run is failed as deadlocked).
-- Locks: none. Callers: propagate, evaluate_run, expand_task. It stands in `from`, where the planner inlines it and what
-- it calls: offset 0 keeps arguments from being copied into the next function, which then could not be inlined. Columns
-- alone, no whole rows: every row would be made into one.
create or replace function leoflow_core.ruling(
    p_run_key bigint,
    p_version_key bigint,
    p_task_idx int,
    p_map_index int,
    p_rule leoflow.trigger_rule,
    p_upstreams int,
    p_success int,
    p_failed int,
    p_upstream_failed int,
    p_skipped int,
    p_removed int,
    p_extra_left int,
    p_extra_failed int,
    p_extra_skipped int
) returns table (ruling leoflow.task_instance_state) language sql stable as $$
    select coalesce(
        leoflow_core.settle_extra(d.decision, p_rule, p_extra_left, p_extra_failed, p_extra_skipped),
        case when p_removed > 0 and p_extra_left = 0
            and p_success + p_failed + p_upstream_failed + p_skipped + p_removed >= p_upstreams
            then 'upstream_failed'::leoflow.task_instance_state end
    )
    from (
        -- case keeps this from being called for every row
        select case when p_rule = 'all_done_setup_success'
            then leoflow_core.direct_setups(p_run_key, p_version_key, p_task_idx, p_map_index) end as setups
        offset 0
    ) as s
    cross join lateral (
        select leoflow_core.decide(
            p_rule, p_upstreams, p_success, p_failed, p_upstream_failed, p_skipped, p_removed, p_map_index, s.setups[1],
            s.setups[2], s.setups[3]
        ) as decision
        offset 0
    ) as d
$$;
comment on function leoflow_core.ruling(
    bigint, bigint, int, int, leoflow.trigger_rule, int, int, int, int, int, int, int, int, int
) is 'What becomes of an instance without a state: its trigger rule''s decision, combined with its implied edges.';
