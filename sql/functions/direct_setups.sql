-- How the setups among an instance's direct upstreams ended, as {setups, succeeded, skipped}; only the rule
-- all_done_setup_success asks.
-- Locks: none. Callers: ruling.
create or replace function leoflow_core.direct_setups(
    p_run_key bigint, p_version_key bigint, p_task_idx int, p_map_index int
)
returns int[] language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    return (
        select array[
            count(*), count(*) filter (where i.state = 'success'), count(*) filter (where i.state = 'skipped')
        ]::int[]
        from leoflow_core.task_edge as e
        join leoflow_core.task as t on t.version_key = e.version_key and t.task_idx = e.upstream_idx and t.is_setup
        join leoflow_core.task_instance as i on i.run_key = p_run_key and i.task_idx = e.upstream_idx
            and (
                not e.is_indexed
                or i.map_index = -1
                or case when e.fan_inputs is null then i.map_index = p_map_index
                    else leoflow_core.is_fanned_to(p_run_key, e, i.map_index, p_map_index) end
            )
        where e.version_key = p_version_key and e.downstream_idx = p_task_idx and e.kind = 'd'
    );
end
$$;
comment on function leoflow_core.direct_setups(bigint, bigint, int, int) is
'How the setups among an instance''s direct upstreams ended.';

-- How many of an instance's indirect setups, and of what it is mapped over, failed and were skipped, as
-- {failed, skipped}.
-- Locks: none. Callers: evaluate_run.
create or replace function leoflow_core.indirect_setups(
    p_run_key bigint, p_version_key bigint, p_task_idx int, p_map_index int
)
returns int[] language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    return (
        select array[
            count(*) filter (where i.state in ('failed', 'upstream_failed')), count(*) filter (where i.state = 'skipped')
        ]::int[]
        from leoflow_core.task_edge as e
        join leoflow_core.task_instance as i on i.run_key = p_run_key and i.task_idx = e.upstream_idx
            and (
                not e.is_indexed
                or i.map_index = -1
                or case when e.fan_inputs is null then i.map_index = p_map_index
                    else leoflow_core.is_fanned_to(p_run_key, e, i.map_index, p_map_index) end
            )
        where e.version_key = p_version_key and e.downstream_idx = p_task_idx
            and (e.kind = 's' or e.kind = 'm' and i.map_index = -1)
    );
end
$$;
comment on function leoflow_core.indirect_setups(bigint, bigint, int, int) is
'How many of an instance''s indirect setups, and of what it is mapped over, failed and were skipped.';
