-- The trigger rules of Airflow 3.2, exactly (ti_deps/deps/trigger_rule_dep.py), as a function of counts.
-- Returns scheduled (run), skipped, upstream_failed, removed, or null (wait).
-- p_success … p_removed count final direct upstreams; p_setups are the setups among all direct upstreams.
-- Locks: none. Callers: ruling. The planner inlines it, because no
-- text is cast to an enum when it runs (which is not immutable) and callers pass nothing costly (offset 0 there).
create or replace function leoflow_core.decide(
    p_rule leoflow.trigger_rule,
    p_upstreams int,
    p_success int,
    p_failed int,
    p_upstream_failed int,
    p_skipped int,
    p_removed int,
    p_map_index int,
    p_setups int,
    p_setups_succeeded int,
    p_setups_skipped int
) returns leoflow.task_instance_state
language sql immutable parallel safe as $$
    select case
        when p_upstreams = 0 then 'scheduled'::leoflow.task_instance_state
        else case p_rule
            when 'all_success' then case
                when p_upstream_failed + p_failed > 0 then 'upstream_failed'::leoflow.task_instance_state
                when p_skipped > 0 then 'skipped'::leoflow.task_instance_state
                when p_removed > 0 and p_success > 0 and p_map_index > -1 and p_map_index >= p_success then 'removed'::leoflow.task_instance_state
                when p_upstreams - p_success - case when p_map_index > -1 then p_removed else 0 end <= 0
                    then 'scheduled'::leoflow.task_instance_state end
            when 'all_done' then case
                when p_success + p_failed + p_upstream_failed + p_skipped + p_removed >= p_upstreams
                    then 'scheduled'::leoflow.task_instance_state end
            when 'none_failed' then case
                when p_upstream_failed + p_failed > 0 then 'upstream_failed'::leoflow.task_instance_state
                when p_upstreams - p_success - p_skipped - case when p_map_index > -1 then p_removed else 0 end <= 0
                    then 'scheduled'::leoflow.task_instance_state end
            when 'none_failed_min_one_success' then case
                when p_upstream_failed + p_failed > 0 then 'upstream_failed'::leoflow.task_instance_state
                when p_skipped = p_upstreams then 'skipped'::leoflow.task_instance_state
                when p_upstreams - p_success - p_skipped - case when p_map_index > -1 then p_removed else 0 end <= 0
                    then 'scheduled'::leoflow.task_instance_state end
            when 'one_success' then case
                when p_success > 0 then 'scheduled'::leoflow.task_instance_state
                when p_failed + p_upstream_failed + p_skipped + p_removed < p_upstreams then null
                when p_failed + p_upstream_failed + p_removed = 0 then 'skipped'::leoflow.task_instance_state
                else 'upstream_failed'::leoflow.task_instance_state end
            when 'one_failed' then case
                when p_failed + p_upstream_failed > 0 then 'scheduled'::leoflow.task_instance_state
                when p_success + p_skipped + p_removed >= p_upstreams then 'skipped'::leoflow.task_instance_state end
            when 'one_done' then case
                when p_success + p_failed > 0 then 'scheduled'::leoflow.task_instance_state
                when p_upstream_failed + p_skipped + p_removed >= p_upstreams then 'skipped'::leoflow.task_instance_state end
            when 'always' then 'scheduled'::leoflow.task_instance_state
            when 'none_skipped' then case
                when p_skipped > 0 then 'skipped'::leoflow.task_instance_state
                when p_success + p_failed + p_upstream_failed + p_removed >= p_upstreams then 'scheduled'::leoflow.task_instance_state end
            when 'all_failed' then case
                when p_success + p_skipped > 0 then 'skipped'::leoflow.task_instance_state
                when p_upstreams - p_failed - p_upstream_failed
                    - case when p_map_index > -1 then p_removed else 0 end <= 0 then 'scheduled'::leoflow.task_instance_state end
            when 'all_skipped' then case
                when p_success + p_failed + p_upstream_failed > 0 then 'skipped'::leoflow.task_instance_state
                when p_upstreams - p_skipped <= 0 then 'scheduled'::leoflow.task_instance_state end
            when 'all_done_min_one_success' then case
                when p_skipped > 0 then 'skipped'::leoflow.task_instance_state
                when p_success + p_failed + p_upstream_failed + p_removed < p_upstreams then null
                when p_success = 0 then 'upstream_failed'::leoflow.task_instance_state
                else 'scheduled'::leoflow.task_instance_state end
            when 'all_done_setup_success' then case
                when p_success + p_failed + p_upstream_failed + p_skipped + p_removed < p_upstreams then null
                when p_setups > 0 and p_setups_skipped >= p_setups then 'skipped'::leoflow.task_instance_state
                when p_setups > 0 and p_setups_succeeded = 0 then 'upstream_failed'::leoflow.task_instance_state
                else 'scheduled'::leoflow.task_instance_state end
        end
    end
$$;
comment on function leoflow_core.decide(
    leoflow.trigger_rule, int, int, int, int, int, int, int, int, int, int
) is 'What a trigger rule makes of its upstreams'' final states: scheduled, skipped, upstream_failed, removed or wait.';
