-- Counts the upstream instances of tasks of a run by state, from the instances themselves. Rows with map_index null
-- hold for every instance of the task, the others for that one alone: add them up. p_task_idxs null: all tasks.
-- Instances a map has no more (removed) are no upstreams. extra_*: implied upstreams (edges of kind s, t, m).
-- Locks: none; the caller makes sure that none of them ends meanwhile. Callers: expand_task, recount_run.
create or replace function leoflow_core.count_upstreams(p_run_key bigint, p_version_key bigint, p_task_idxs int[])
returns table (
    task_idx int, map_index int, upstreams int, up_success int, up_failed int, up_upstream_failed int, up_skipped int,
    up_removed int, extra_left int, extra_failed int, extra_skipped int
) language plpgsql stable
set jit = off set plan_cache_mode = auto
as $$
#variable_conflict use_column
declare
    v_expanding int[] := leoflow_core.expanding_tasks(p_version_key);
begin
    return query select
        e.downstream_idx,
        i.map_index,
        count(*) filter (where e.kind = 'd')::int,
        count(*) filter (where e.kind = 'd' and u.state = 'success')::int,
        count(*) filter (where e.kind = 'd' and u.state = 'failed')::int,
        count(*) filter (where e.kind = 'd' and u.state = 'upstream_failed')::int,
        count(*) filter (where e.kind = 'd' and u.state = 'skipped')::int,
        count(*) filter (where e.kind = 'd' and u.state = 'removed')::int,
        count(*) filter (
            where (e.kind in ('s', 'm') and u.state is distinct from 'success' and u.state is distinct from 'removed')
                or (e.kind = 't' and not leoflow_core.is_final(u.state))
        )::int,
        count(*) filter (where e.kind in ('s', 'm') and u.state in ('failed', 'upstream_failed'))::int,
        count(*) filter (where e.kind in ('s', 'm') and u.state = 'skipped')::int
    from leoflow_core.task_edge as e
    join leoflow_core.task_instance as u on u.run_key = p_run_key and u.task_idx = e.upstream_idx
    cross join lateral (select case when e.is_indexed and u.map_index >= 0 then u.map_index end as map_index) as i
    where e.version_key = p_version_key and (p_task_idxs is null or e.downstream_idx = any(p_task_idxs))
        and (e.kind <> 'm' or u.map_index = -1) and (u.state is distinct from 'removed' or u.task_idx <> all(v_expanding))
    group by e.downstream_idx, i.map_index;
end
$$;
comment on function leoflow_core.count_upstreams(bigint, bigint, int[]) is
'Counts the upstream instances of tasks of a run by state.';

-- The tasks of a version whose number of instances is found at run time. An array, because a join more led to bad plans
-- for versions the statistics do not know yet. Locks: none. Callers: count_upstreams, recount_run.
create or replace function leoflow_core.expanding_tasks(p_version_key bigint) returns int[] language sql stable as $$
    select coalesce(array_agg(t.task_idx), '{}') from leoflow_core.task as t
    where t.version_key = p_version_key and t.expands
$$;
comment on function leoflow_core.expanding_tasks(bigint) is
'The tasks of a version whose number of instances is found at run time.';
