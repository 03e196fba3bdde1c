-- Writes what a version's maps mean for its tasks: how many instances a run starts with, which tasks expand later and
-- by what, edges between the instances of one mapped group, edges of kind m to what is mapped over, and the counts that
-- depend on all this. A map over literals alone has its instances from the start, any other one instance with
-- map_index -1 (Airflow, DagRun._create_tasks).
-- Raises LF422 for a map that is too large, or one inside another.
-- Locks: none beyond the version's new rows. Callers: register_tasks.
create or replace function leoflow_core.register_mapping(p_version_key bigint) returns void
language plpgsql
set jit = off set plan_cache_mode = auto set enable_nestloop = off -- a new version or run is not in the statistics
set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set enable_bitmapscan = on
as $$
declare
    v_limit numeric := leoflow_core.setting('max_mapped_instances');
    v_task leoflow_core.task;
begin
    with recursive around as (
        select t.task_idx, g.group_id, g.parent_group_id, g.is_mapped, g.spec -> 'mapping' as mapping
        from leoflow_core.task as t
        join leoflow_core.task_group as g on g.version_key = p_version_key and g.group_id = t.group_id
        where t.version_key = p_version_key
        union all
        select a.task_idx, g.group_id, g.parent_group_id, g.is_mapped, g.spec -> 'mapping'
        from around as a
        join leoflow_core.task_group as g on g.version_key = p_version_key and g.group_id = a.parent_group_id
    ),
    maps as (
        select a.task_idx, a.group_id, a.mapping from around as a where a.is_mapped
        union all
        select t.task_idx, null, t.spec -> 'mapping' from leoflow_core.task as t
        where t.version_key = p_version_key and t.is_mapped
    )
    update leoflow_core.task as t set
        map_group_id = m.group_id,
        map_inputs = m.inputs,
        map_length = case when m.lengths between 1 and v_limit then m.lengths::int end,
        expands = m.lengths is null or m.lengths = 0
    from (
        select
            m.task_idx, max(m.group_id) as group_id,
            -- several: refused below
            case when count(*) = 1 then jsonb_agg(m.mapping -> 'inputs') -> 0 end as inputs,
            min((m.mapping ->> 'length')::numeric) as lengths
        from maps as m group by m.task_idx
    ) as m
    where t.version_key = p_version_key and t.task_idx = m.task_idx;
    if not found then
        return;
    end if;
    select t.* into v_task from leoflow_core.task as t
    where t.version_key = p_version_key and t.map_group_id is not null and t.map_inputs is null limit 1;
    if found then
        perform leoflow_core.reject('LF422',
            format('task %s is mapped inside a mapped task group, or its groups are nested maps', v_task.task_id),
            'map the inner task or group over the flattened data, outside of the mapped group');
    end if;
    select t.* into v_task from leoflow_core.task as t
    where t.version_key = p_version_key and t.map_inputs is not null and t.map_length is null and not t.expands limit 1;
    if found then
        perform leoflow_core.reject('LF422',
            format('task %s is mapped over more than %s values', v_task.task_id, v_limit),
            'let each instance work on a batch of values, or raise max_mapped_instances in leoflow_core.setting');
    end if;

    update leoflow_core.task_edge as e set is_indexed = true
    from leoflow_core.task as u, leoflow_core.task as d
    where e.version_key = p_version_key and u.version_key = p_version_key and u.task_idx = e.upstream_idx
        and d.version_key = p_version_key and d.task_idx = e.downstream_idx and u.map_group_id = d.map_group_id
        -- these rules look at all instances (Airflow, trigger_rule_dep.py)
        and not (d.group_id = d.map_group_id and d.trigger_rule in ('one_success', 'one_failed', 'one_done'));

    insert into leoflow_core.task_edge (version_key, upstream_idx, downstream_idx, kind)
    select distinct p_version_key, u.task_idx, d.task_idx, 'm'::"char"
    from leoflow_core.task as d
    cross join lateral jsonb_path_query(d.map_inputs, '$.**.task_id') as r(id)
    join leoflow_core.task as u
        on u.version_key = p_version_key and u.task_id = r.id #>> '{}' and u.map_length is null
    where d.version_key = p_version_key and d.map_inputs is not null;

    update leoflow_core.task as t set
        upstream_count = c.n_upstream, extra_count = c.n_extra,
        is_slotted = t.map_group_id is null and (c.n_upstream > 64 or c.is_dynamic)
    from (
        select
            e.downstream_idx,
            coalesce(sum(w.instances) filter (where e.kind = 'd'), 0)::int as n_upstream,
            coalesce(sum(w.instances) filter (where e.kind <> 'd'), 0)::int as n_extra,
            bool_or(e.kind = 'd' and u.expands) as is_dynamic
        from leoflow_core.task_edge as e
        join leoflow_core.task as u on u.version_key = p_version_key and u.task_idx = e.upstream_idx
        cross join lateral (
            select case when e.is_indexed then 1 else coalesce(u.map_length, 1) end as instances
        ) as w
        where e.version_key = p_version_key
        group by e.downstream_idx
    ) as c
    where t.version_key = p_version_key and t.task_idx = c.downstream_idx;
    update leoflow_core.task_edge as e set is_slotted = d.is_slotted
    from leoflow_core.task as d
    where e.version_key = p_version_key and e.kind = 'd' and d.version_key = p_version_key
        and d.task_idx = e.downstream_idx and e.is_slotted <> d.is_slotted;
end
$$;
comment on function leoflow_core.register_mapping(bigint) is 'Writes what a version''s maps mean for its tasks.';
