-- An instance that just reached a final state, as propagate wants to know it. The planner inlines it.
-- Locks: none. Callers: finish, propagate, evaluate_run and whoever else settles instances.
create or replace function leoflow_core.as_settled(p_instance leoflow_core.task_instance, p_has_token boolean default false)
returns leoflow_core.settled language sql immutable parallel safe as $$
    select row(
        p_instance.run_key, p_instance.version_key, p_instance.task_idx, p_instance.map_index, p_instance.state,
        p_instance.queue_key, p_instance.pool_key, p_instance.pool_slots, p_instance.is_leaf, p_instance.is_counted,
        p_instance.feeds_slots, p_instance.has_downstream, p_has_token
    )::leoflow_core.settled
$$;
comment on function leoflow_core.as_settled(leoflow_core.task_instance, boolean) is
'An instance that just reached a final state, as propagate wants to know it.';
