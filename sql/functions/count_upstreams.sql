-- Counts the upstream instances of tasks of a run by state, from the instances themselves. Rows with map_index null
-- hold for every instance of the task, the others for that one alone: add them up. p_task_idxs null: all tasks.
-- Instances a map has no more (removed) are no upstreams. extra_*: implied upstreams (edges of kind s, t, m).
-- Locks: none; the caller makes sure that none of them ends meanwhile. Callers: count_for.
create or replace function leoflow_core.count_upstreams(p_run_key bigint, p_version_key bigint, p_task_idxs int[])
returns table (
    task_idx int, map_index int, upstreams int, up_success int, up_failed int, up_upstream_failed int, up_skipped int,
    up_removed int, extra_left int, extra_failed int, extra_skipped int
) language plpgsql stable
set jit = off set plan_cache_mode = auto
as $$
#variable_conflict use_column
declare
    v_mapped int[] := leoflow_core.mapped_tasks(p_version_key);
    -- null, but for nested maps
    v_fans jsonb := leoflow_core.edge_fans(p_run_key, p_version_key, p_task_idxs);
begin
    return query
    with counted as materialized (
        select
            e.downstream_idx, i.map_index, f.fan,
            count(*) filter (where e.kind = 'd')::int as upstreams,
            count(*) filter (where e.kind = 'd' and u.state = 'success')::int as up_success,
            count(*) filter (where e.kind = 'd' and u.state = 'failed')::int as up_failed,
            count(*) filter (where e.kind = 'd' and u.state = 'upstream_failed')::int as up_upstream_failed,
            count(*) filter (where e.kind = 'd' and u.state = 'skipped')::int as up_skipped,
            count(*) filter (where e.kind = 'd' and u.state = 'removed')::int as up_removed,
            count(*) filter (
                where (e.kind in ('s', 'm') and u.state is distinct from 'success' and u.state is distinct from 'removed')
                    or (e.kind = 't' and not leoflow_core.is_final(u.state))
            )::int as extra_left,
            count(*) filter (where e.kind in ('s', 'm') and u.state in ('failed', 'upstream_failed'))::int as extra_failed,
            count(*) filter (where e.kind in ('s', 'm') and u.state = 'skipped')::int as extra_skipped
        from leoflow_core.task_edge as e
        join leoflow_core.task_instance as u on u.run_key = p_run_key and u.task_idx = e.upstream_idx
        cross join lateral (
            select case when e.fan_inputs is not null and u.map_index >= 0
                then (v_fans ->> (e.downstream_idx || e.fan_inputs::text))::int end as fan
        ) as f
        cross join lateral (
            select case when e.is_indexed and u.map_index >= 0 then case
                when e.fan_inputs is null then u.map_index
                else leoflow_core.fan_start(f.fan, e.is_ranged, u.map_index) end end as map_index
        ) as i
        where e.version_key = p_version_key and (p_task_idxs is null or e.downstream_idx = any(p_task_idxs))
            and (e.kind <> 'm' or u.map_index = -1) and (u.state is distinct from 'removed' or u.task_idx <> all(v_mapped))
        group by e.downstream_idx, i.map_index, f.fan
    )
    select
        c.downstream_idx, c.map_index, c.upstreams, c.up_success, c.up_failed, c.up_upstream_failed, c.up_skipped,
        c.up_removed, c.extra_left, c.extra_failed, c.extra_skipped
    from counted as c where v_fans is null
    union all
    select
        c.downstream_idx, coalesce(n.map_index, c.map_index), sum(c.upstreams)::int, sum(c.up_success)::int,
        sum(c.up_failed)::int, sum(c.up_upstream_failed)::int, sum(c.up_skipped)::int, sum(c.up_removed)::int,
        sum(c.extra_left)::int, sum(c.extra_failed)::int, sum(c.extra_skipped)::int
    from counted as c
    left join lateral generate_series(
        c.map_index, least(c.map_index + c.fan - 1, leoflow_core.setting('max_mapped_instances')::int)
    ) as n(map_index) on c.fan is not null
    where v_fans is not null
    group by c.downstream_idx, coalesce(n.map_index, c.map_index);
end
$$;
comment on function leoflow_core.count_upstreams(bigint, bigint, int[]) is
'Counts the upstream instances of tasks of a run by state.';

-- The same for given instances, one row each: what holds for all instances of their tasks and for each alone is added up.
-- Locks: as count_upstreams. Callers: expand_task, recount_task, recount_run.
create or replace function leoflow_core.count_for(
    p_run_key bigint, p_version_key bigint, p_task_idxs int[], p_instances leoflow_core.instance_ref[]
) returns table (
    task_idx int, map_index int, upstreams int, up_success int, up_failed int, up_upstream_failed int, up_skipped int,
    up_removed int, extra_left int, extra_failed int, extra_skipped int
) language sql stable
set jit = off set enable_nestloop = off set enable_hashjoin = on -- of ten thousand with ten thousand
as $$
    with counted as materialized (
        select c.* from leoflow_core.count_upstreams(p_run_key, p_version_key, p_task_idxs) as c
    )
    select
        i.task_idx, i.map_index,
        coalesce(a.upstreams, 0) + coalesce(b.upstreams, 0),
        coalesce(a.up_success, 0) + coalesce(b.up_success, 0),
        coalesce(a.up_failed, 0) + coalesce(b.up_failed, 0),
        coalesce(a.up_upstream_failed, 0) + coalesce(b.up_upstream_failed, 0),
        coalesce(a.up_skipped, 0) + coalesce(b.up_skipped, 0),
        coalesce(a.up_removed, 0) + coalesce(b.up_removed, 0),
        coalesce(a.extra_left, 0) + coalesce(b.extra_left, 0),
        coalesce(a.extra_failed, 0) + coalesce(b.extra_failed, 0),
        coalesce(a.extra_skipped, 0) + coalesce(b.extra_skipped, 0)
    from unnest(p_instances) as i
    left join (select c.* from counted as c where c.map_index is null) as a on a.task_idx = i.task_idx
    left join (select c.* from counted as c where c.map_index is not null) as b
        on b.task_idx = i.task_idx and b.map_index = i.map_index
$$;
comment on function leoflow_core.count_for(bigint, bigint, int[], leoflow_core.instance_ref[]) is
'Counts the upstream instances of given instances by state.';

-- The mapped tasks of a version, and those in mapped groups. An array, because a join more led to bad plans for versions
-- the statistics do not know yet. Locks: none. Callers: count_upstreams, recount_run.
create or replace function leoflow_core.mapped_tasks(p_version_key bigint) returns int[] language sql stable as $$
    select coalesce(array_agg(t.task_idx), '{}') from leoflow_core.task as t
    where t.version_key = p_version_key and t.map_inputs is not null
$$;
comment on function leoflow_core.mapped_tasks(bigint) is 'The mapped tasks of a version, and those in mapped groups.';
