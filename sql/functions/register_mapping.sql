-- Writes what a version's maps mean for its tasks: how many instances a run starts with, which tasks expand later and
-- by what, edges between the instances of one mapped group, edges of kind m to what is mapped over, and the counts that
-- depend on all this. A map over literals alone has its instances from the start, any other one instance with
-- map_index -1 (Airflow, DagRun._create_tasks).
-- Raises LF422 for a map that is too large, or a mapped task inside a mapped group.
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
        select
            t.task_idx, t.group_id as next_group_id, null::text as map_group_id,
            case when t.is_mapped then t.spec -> 'mapping' -> 'inputs' end as inputs,
            case when t.is_mapped then (t.spec -> 'mapping' ->> 'length')::numeric else 1 end as lengths
        from leoflow_core.task as t
        where t.version_key = p_version_key and (t.is_mapped or t.group_id is not null)
        union all
        select
            a.task_idx, g.parent_group_id, coalesce(a.map_group_id, case when g.is_mapped then g.group_id end),
            case when g.is_mapped then coalesce(a.inputs, '[]') || (g.spec -> 'mapping' -> 'inputs') else a.inputs end,
            case when g.is_mapped then a.lengths * (g.spec -> 'mapping' ->> 'length')::numeric else a.lengths end
        from around as a
        join leoflow_core.task_group as g on g.version_key = p_version_key and g.group_id = a.next_group_id
    )
    update leoflow_core.task as t set
        map_group_id = a.map_group_id,
        map_inputs = a.inputs,
        map_length = case when a.lengths between 1 and v_limit then a.lengths::int end,
        expands = a.lengths is null or a.lengths = 0
    from around as a
    where a.next_group_id is null and a.inputs is not null
        and t.version_key = p_version_key and t.task_idx = a.task_idx;
    if not found then
        return;
    end if;
    select t.* into v_task from leoflow_core.task as t
    where t.version_key = p_version_key and t.map_group_id is not null and t.is_mapped limit 1;
    if found then
        perform leoflow_core.reject('LF422',
            format('task %s is mapped inside a mapped task group', v_task.task_id),
            'put the task into a mapped group of its own inside that group, or map it outside over the flattened data');
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

    if exists (
        select from leoflow_core.task_group as g
        where g.version_key = p_version_key and g.is_mapped and g.parent_group_id is not null
    ) then
        perform leoflow_core.register_nested_maps(p_version_key);
    end if;

    -- of nested groups only the innermost one's, as in Airflow (mapped_task_upstream_dep.py)
    insert into leoflow_core.task_edge (version_key, upstream_idx, downstream_idx, kind)
    select distinct p_version_key, u.task_idx, d.task_idx, 'm'::"char"
    from leoflow_core.task as d
    left join leoflow_core.task_group as g on g.version_key = p_version_key and g.group_id = d.map_group_id
    cross join lateral jsonb_path_query(
        case when g.group_id is null then d.map_inputs else g.spec -> 'mapping' -> 'inputs' end, '$.**.task_id'
    ) as r(id)
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
        join leoflow_core.task as d on d.version_key = p_version_key and d.task_idx = e.downstream_idx
        cross join lateral (
            select case
                when not e.is_indexed then coalesce(u.map_length, 1)
                -- an instance with map_index -1 does not wait for what is expanded
                when d.map_length is null and u.map_length is not null then 0
                when e.is_ranged and u.map_length is not null then e.fan
                else 1 end as instances
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
