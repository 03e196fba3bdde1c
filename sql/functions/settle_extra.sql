-- Combines a trigger rule's decision with the implied edges: indirect setups must succeed, a teardown waits for its
-- scope. A failed or skipped setup decides at once; otherwise only "run" has to wait (Airflow, trigger_rule_dep.py).
-- Locks: none. Callers: ruling.
create or replace function leoflow_core.settle_extra(
    p_decision leoflow.task_instance_state, p_rule leoflow.trigger_rule, p_extra_left int, p_failed int, p_skipped int
) returns leoflow.task_instance_state language sql immutable parallel safe as $$
    select case
        when p_extra_left = 0 or p_rule = 'always' then p_decision
        when p_failed > 0 then 'upstream_failed'::leoflow.task_instance_state
        when p_skipped > 0 then 'skipped'::leoflow.task_instance_state
        when p_decision = 'scheduled' then null
        else p_decision
    end
$$;
comment on function leoflow_core.settle_extra(leoflow.task_instance_state, leoflow.trigger_rule, int, int, int) is
'Combines a trigger rule''s decision with implied setup and teardown edges.';
