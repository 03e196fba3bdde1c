-- Mapped groups inside mapped groups, as in Airflow (models/taskinstance.py, _get_relevant_map_indexes). A task has an
-- instance for each value of the innermost group and each of the groups around it; n of them, the fan of an edge, belong
-- to one instance of the innermost group that holds both ends.

-- How many instances of its downstream an edge with p_inputs (fan_inputs) joins to one instance of its upstream, as things
-- are now. Null: not known yet, or too many for there to be any.
-- Locks: none. Callers: register_nested_maps, write_fans, relevant_relatives.
create or replace function leoflow_core.current_fan(p_run_key bigint, p_version_key bigint, p_inputs jsonb) returns int
language plpgsql stable as $$
declare
    v_fan numeric := leoflow_core.map_length(p_run_key, p_version_key, p_inputs);
begin
    return case when v_fan <= leoflow_core.setting('max_mapped_instances') then v_fan::int end;
end
$$;
comment on function leoflow_core.current_fan(bigint, bigint, jsonb) is
'How many instances of its downstream an edge joins to one instance of its upstream, as things are now.';

-- The same as when the downstream was expanded last; null before. Counters go by this one: a length may change when what
-- is mapped over runs again, before the task does. Not a whole row as argument: every edge would be made into one.
-- Locks: none.
-- Callers: joined_instances, grow_joins, edge_fans, is_fanned_to.
create or replace function leoflow_core.edge_fan(p_run_key bigint, p_task_idx int, p_fan_inputs jsonb, p_fan int)
returns int language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan
as $$
begin
    return coalesce(p_fan, (
        select m.fan from leoflow_core.map_fan as m
        where m.run_key = p_run_key and m.task_idx = p_task_idx and m.fan_inputs = p_fan_inputs
    ));
end
$$;
comment on function leoflow_core.edge_fan(bigint, int, jsonb, int) is
'How many instances of its downstream an edge joins to one instance of its upstream.';

-- Writes what the fans of the edges to a task are now. Locks: their rows. Callers: expand_task.
create or replace function leoflow_core.write_fans(p_run_key bigint, p_version_key bigint, p_task_idx int) returns void
language sql as $$
    insert into leoflow_core.map_fan as m (run_key, task_idx, fan_inputs, fan)
    select p_run_key, p_task_idx, e.fan_inputs, leoflow_core.current_fan(p_run_key, p_version_key, e.fan_inputs)
    from leoflow_core.task_edge as e
    where e.version_key = p_version_key and e.downstream_idx = p_task_idx and e.fan_inputs is not null and e.fan is null
    group by e.fan_inputs
    on conflict (run_key, task_idx, fan_inputs) do update set fan = excluded.fan
$$;
comment on function leoflow_core.write_fans(bigint, bigint, int) is 'Writes what the fans of the edges to a task are now.';

-- The fans of the edges to tasks (p_task_idxs null: to all), by task_idx and fan_inputs. Null: no edge has one.
-- Locks: none. Callers: count_upstreams.
create or replace function leoflow_core.edge_fans(p_run_key bigint, p_version_key bigint, p_task_idxs int[])
returns jsonb language plpgsql stable
set jit = off set plan_cache_mode = auto
as $$
begin
    return (
        select jsonb_object_agg(
            e.downstream_idx || e.fan_inputs::text,
            leoflow_core.edge_fan(p_run_key, e.downstream_idx, e.fan_inputs, e.fan)
        )
        from leoflow_core.task_edge as e
        where e.version_key = p_version_key and e.fan_inputs is not null
            and (p_task_idxs is null or e.downstream_idx = any(p_task_idxs))
    );
end
$$;
comment on function leoflow_core.edge_fans(bigint, bigint, int[]) is 'The fans of the edges to tasks.';

-- The first of the p_fan downstream instances that wait for upstream instance p_map_index. Null: all do, because the
-- downstream is mapped over nothing and will have no instances. -2: none does, as long as nobody knows the fan:
-- expand_task counts anew. Locks: none. Callers: joined_instances, count_upstreams, is_fanned_to.
create or replace function leoflow_core.fan_start(p_fan int, p_is_ranged boolean, p_map_index int) returns int
language sql immutable parallel safe as $$
    select case
        when p_fan is null then -2
        when p_fan = 0 then null
        when p_is_ranged then p_map_index / p_fan * p_fan
        else least(p_map_index::bigint * p_fan, 2000000000)::int end
$$;
comment on function leoflow_core.fan_start(int, boolean, int) is
'The first of the downstream instances that wait for an upstream instance.';

-- Which instances of its downstream an edge joins to one instance of its upstream: first_index and the fan - 1 after it, one
-- alone where fan is null; all where first_index is null. The planner inlines it; columns as in edge_fan.
-- Locks: none. Callers: propagate, shrink_joins.
create or replace function leoflow_core.joined_instances(
    p_run_key bigint, p_downstream_idx int, p_is_indexed boolean, p_fan_inputs jsonb, p_fan int, p_is_ranged boolean,
    p_map_index int
) returns table (first_index int, fan int) language sql stable as $$
    select
        case when p_is_indexed and p_map_index >= 0 then case
            when p_fan_inputs is null then p_map_index
            else leoflow_core.fan_start(n.fan, p_is_ranged, p_map_index) end end,
        n.fan
    from (
        select case when p_fan_inputs is not null and p_map_index >= 0
            then leoflow_core.edge_fan(p_run_key, p_downstream_idx, p_fan_inputs, p_fan) end as fan
    ) as n
$$;
comment on function leoflow_core.joined_instances(bigint, int, boolean, jsonb, int, boolean, int) is
'Which instances of its downstream an edge joins to one instance of its upstream.';

-- Whether an edge with a fan joins an upstream instance to a downstream one. Locks: none. Callers: direct_setups,
-- indirect_setups.
create or replace function leoflow_core.is_fanned_to(
    p_run_key bigint, p_edge leoflow_core.task_edge, p_upstream_index int, p_downstream_index int
) returns boolean language sql stable as $$
    select f.fan = 0 or (
        p_downstream_index >= 0
        and leoflow_core.fan_start(f.fan, p_edge.is_ranged, p_upstream_index) = p_downstream_index / f.fan * f.fan
    )
    from leoflow_core.edge_fan(p_run_key, p_edge.downstream_idx, p_edge.fan_inputs, p_edge.fan) as f(fan)
$$;
comment on function leoflow_core.is_fanned_to(bigint, leoflow_core.task_edge, int, int) is
'Whether an edge with a fan joins an upstream instance to a downstream one.';

-- Pairs of mapped groups inside a mapped group, and each mapped group with itself: which instances of a task in the
-- upper one a task in the lower one refers to. fan_inputs, is_ranged: as in task_edge.
-- Locks: none. Callers: register_nested_maps, relevant_relatives.
create or replace function leoflow_core.shared_maps(p_version_key bigint)
returns table (upper_id text, lower_id text, fan_inputs jsonb, is_ranged boolean) language sql stable as $$
    with recursive climb as (
        select g.group_id, g.parent_group_id, array[g.group_id] as path, array[g.spec -> 'mapping' -> 'inputs'] as inputs
        from leoflow_core.task_group as g
        where g.version_key = p_version_key and g.is_mapped
        union all
        select
            c.group_id, g.parent_group_id,
            case when g.is_mapped then g.group_id || c.path else c.path end,
            case when g.is_mapped then (g.spec -> 'mapping' -> 'inputs') || c.inputs else c.inputs end
        from climb as c
        join leoflow_core.task_group as g on g.version_key = p_version_key and g.group_id = c.parent_group_id
    ),
    nest as materialized (
        select c.group_id, c.path, c.inputs from climb as c where c.parent_group_id is null
    )
    select
        u.group_id, d.group_id, f.inputs, f.inputs is not null and cardinality(u.path) > s.n
    from nest as u
    join nest as d on d.path[1] = u.path[1]
    cross join lateral (
        select count(*) as n from unnest(d.path) as p(group_id) where p.group_id = any(u.path)
    ) as s
    cross join lateral (
        select jsonb_agg(e.input order by i.place, e.ord) as inputs
        from unnest(d.inputs) with ordinality as i(inputs, place)
        cross join lateral jsonb_array_elements(i.inputs) with ordinality as e(input, ord)
        where i.place > s.n
    ) as f
$$;
comment on function leoflow_core.shared_maps(bigint) is
'Pairs of mapped groups inside a mapped group: which instances a task in one refers to in the other.';

-- Says of a new version's edges between tasks in mapped groups which instances they join, if the groups are nested.
-- A task that is mapped over a literal of no values, or over what a task in a mapped group returns, has no instances
-- whatever happens: it waits for all instances of its upstreams, as in Airflow.
-- Locks: none beyond the version's new rows. Callers: register_mapping.
create or replace function leoflow_core.register_nested_maps(p_version_key bigint) returns void language plpgsql
set jit = off set plan_cache_mode = auto set enable_nestloop = off -- a new version or run is not in the statistics
as $$
begin
    update leoflow_core.task_edge as e set
        is_indexed = true, fan_inputs = p.fan_inputs, is_ranged = p.is_ranged,
        fan = case when not jsonb_path_exists(p.fan_inputs, '$.**.task_id')
            then leoflow_core.current_fan(null, p_version_key, p.fan_inputs) end
    from leoflow_core.shared_maps(p_version_key) as p
    join leoflow_core.task as u on u.version_key = p_version_key and u.map_group_id = p.upper_id
    join leoflow_core.task as d on d.version_key = p_version_key and d.map_group_id = p.lower_id
    where p.upper_id <> p.lower_id
        and e.version_key = p_version_key and e.upstream_idx = u.task_idx and e.downstream_idx = d.task_idx
        -- these rules look at all instances (Airflow, trigger_rule_dep.py)
        and not (d.group_id = d.map_group_id and d.trigger_rule in ('one_success', 'one_failed', 'one_done'))
        and not (
            p.fan_inputs is not null and (
                jsonb_path_exists(p.fan_inputs, '$.** ? (@.type == "literal" && @.length == 0)')
                or exists (
                    select from jsonb_path_query(p.fan_inputs, '$.**.task_id') as r(id)
                    join leoflow_core.task as s on s.version_key = p_version_key and s.task_id = r.id #>> '{}'
                    where s.map_group_id is not null and not s.is_mapped
                )
            )
        );

    -- Of two groups side by side the later one may have instances for which there is nothing in the earlier one: how
    -- many upstreams one has differs, so they are made when it is counted.
    update leoflow_core.task as t set map_length = null, expands = true
    from leoflow_core.task_edge as e
    join leoflow_core.task as u on u.version_key = p_version_key and u.task_idx = e.upstream_idx
    where e.version_key = p_version_key and e.is_ranged and e.downstream_idx = t.task_idx
        and t.version_key = p_version_key and u.map_length < t.map_length;
end
$$;
comment on function leoflow_core.register_nested_maps(bigint) is
'Says of a new version''s edges which instances they join, if mapped groups are nested.';

-- Counts the upstreams of a task's undecided instances anew, because its map's length, and so which instances an edge
-- joins, is known now or has changed. Returns those whose counters were wrong, null for none.
-- Locks: the task's undecided instances; the caller holds its unfinished upstreams. Callers: expand_task.
create or replace function leoflow_core.recount_task(p_run_key bigint, p_version_key bigint, p_task_idx int)
returns leoflow_core.instance_ref[] language plpgsql
set jit = off set plan_cache_mode = auto
as $$
declare
    v_changed leoflow_core.instance_ref[];
begin
    with counted as materialized (
        select c.* from leoflow_core.count_for(p_run_key, p_version_key, array[p_task_idx], array(
            select (i.run_key, i.task_idx, i.map_index)::leoflow_core.instance_ref from leoflow_core.task_instance as i
            where i.run_key = p_run_key and i.task_idx = p_task_idx and i.state is null
        )) as c
    ),
    written as (
        update leoflow_core.task_instance as t set
            upstreams = c.upstreams, up_success = c.up_success, up_failed = c.up_failed,
            up_upstream_failed = c.up_upstream_failed, up_skipped = c.up_skipped, up_removed = c.up_removed,
            extra_left = c.extra_left
        from counted as c
        where t.run_key = p_run_key and t.task_idx = p_task_idx and t.map_index = c.map_index
            and (t.upstreams, t.up_success, t.up_failed, t.up_upstream_failed, t.up_skipped, t.up_removed, t.extra_left)
                is distinct from (
                    c.upstreams, c.up_success, c.up_failed, c.up_upstream_failed, c.up_skipped, c.up_removed,
                    c.extra_left
                )
        returning (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref
    )
    select array_agg(w.ref) into v_changed from written as w;
    return v_changed;
end
$$;
comment on function leoflow_core.recount_task(bigint, bigint, int) is
'Counts the upstreams of a task''s undecided instances anew.';
