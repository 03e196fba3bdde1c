-- Tells what waits for a mapped task that it has more instances now: its successors' counters, the slots of large joins,
-- the end of the run. p_replaced: 1 when the instance with map_index -1 is gone, else 0.
-- Returns the successors that wait for less than before and must be decided again: inside the mapped group, an
-- instance with map_index -1 no longer waits for the expanded upstream (Airflow, _get_relevant_upstream_map_indexes).
-- Locks: successors' instances in key order, slots of joins, slots of the run's end, the run. Callers: expand_task.
create or replace function leoflow_core.grow_joins(
    p_sample leoflow_core.task_instance, p_grown leoflow_core.instance_ref[], p_replaced int
) returns leoflow_core.instance_ref[] language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_more int := cardinality(p_grown) - p_replaced;
    v_less leoflow_core.instance_ref[];
    v_opened int;
    -- what is new has no gaps
    v_from int := (select min(g.map_index) from unnest(p_grown) as g);
    v_to int := (select max(g.map_index) from unnest(p_grown) as g);
begin
    with locked as materialized (
        select
            t.run_key, t.task_idx, t.map_index, e.kind, e.is_indexed,
            -- of groups side by side inside a mapped one: the first upstream instance of a range, and how many
            case when t.map_index >= 0 then e.fan end as fan,
            case when t.map_index >= 0 then t.map_index / nullif(e.fan, 0) * e.fan end as range_from
        from (
            select
                d.downstream_idx, d.kind, d.is_indexed, d.is_ranged, case when d.is_ranged
                    then leoflow_core.edge_fan(p_sample.run_key, d.downstream_idx, d.fan_inputs, d.fan) end as fan
            from leoflow_core.task_edge as d
            where d.version_key = p_sample.version_key and d.upstream_idx = p_sample.task_idx
            offset 0 -- once per edge
        ) as e
        join leoflow_core.task_instance as t on t.run_key = p_sample.run_key and t.task_idx = e.downstream_idx
        where t.state is null and (not e.is_indexed or e.is_ranged or t.map_index = -1)
        order by t.task_idx, t.map_index
        for update of t
    ),
    change as materialized (
        select
            l.run_key, l.task_idx, l.map_index,
            sum(case when l.kind <> 'd' then 0 when l.is_indexed then g.n - p_replaced else v_more end)::int as upstreams,
            sum(case when l.kind = 'd' then 0 when l.is_indexed or l.kind = 'm' then g.n - p_replaced else v_more end)::int
                as extra,
            bool_or(l.is_indexed or l.kind = 'm') as is_less
        from locked as l
        cross join lateral (
            select case when l.range_from is null or v_from is null then 0
                else greatest(0, least(l.range_from + l.fan - 1, v_to) - greatest(l.range_from, v_from) + 1) end as n
        ) as g
        group by l.run_key, l.task_idx, l.map_index
    ),
    written as (
        update leoflow_core.task_instance as t set
            upstreams = t.upstreams + c.upstreams, extra_left = t.extra_left + c.extra
        from change as c
        where t.run_key = c.run_key and t.task_idx = c.task_idx and t.map_index = c.map_index
            and (c.upstreams <> 0 or c.extra <> 0)
        returning (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref, c.is_less and p_replaced > 0 as is_less
    )
    select array_agg(w.ref) filter (where w.is_less) into v_less from written as w;

    if p_sample.feeds_slots then
        insert into leoflow_core.join_counter as j (run_key, task_idx, map_index, slot, waiting, trigger_rule)
        select p_sample.run_key, e.downstream_idx, -1, s.slot, s.n, d.trigger_rule
        from leoflow_core.task_edge as e
        join leoflow_core.task as d on d.version_key = e.version_key and d.task_idx = e.downstream_idx
        cross join leoflow_core.more_per_slot(p_grown, p_sample.task_idx, p_replaced) as s
        where e.version_key = p_sample.version_key and e.upstream_idx = p_sample.task_idx and e.is_slotted
        order by e.downstream_idx, s.slot
        on conflict (run_key, task_idx, map_index, slot) do update set waiting = j.waiting + excluded.waiting;
    end if;

    if p_sample.is_counted and v_more <> 0 then
        if exists (select from leoflow_core.join_counter as j where j.run_key = p_sample.run_key and j.task_idx = -1) then
            with more as materialized (
                select s.* from leoflow_core.more_per_slot(p_grown, p_sample.task_idx, p_replaced) as s
            ),
            counted as (
                insert into leoflow_core.join_counter as j (run_key, task_idx, map_index, slot, waiting)
                select p_sample.run_key, -1, -1, m.slot, m.n from more as m order by m.slot
                on conflict (run_key, task_idx, map_index, slot) do update set waiting = j.waiting + excluded.waiting
                returning j.slot, j.waiting
            )
            select count(*) into v_opened from counted as c join more as m on m.slot = c.slot where c.waiting = m.n;
            update leoflow_core.dag_run as r set
                open_slots = r.open_slots + v_opened, instance_count = r.instance_count + v_more
            where r.run_key = p_sample.run_key;
        else
            update leoflow_core.dag_run as r set
                remaining = r.remaining + v_more, instance_count = r.instance_count + v_more
            where r.run_key = p_sample.run_key;
        end if;
    end if;
    return v_less;
end
$$;
comment on function leoflow_core.grow_joins(leoflow_core.task_instance, leoflow_core.instance_ref[], int) is
'Tells what waits for a mapped task that it has more instances now.';

-- How many more instances each slot waits for after a task grew. Locks: none. Callers: grow_joins.
create or replace function leoflow_core.more_per_slot(
    p_grown leoflow_core.instance_ref[], p_task_idx int, p_replaced int
) returns table (slot smallint, n int) language sql immutable as $$
    select s.slot, sum(s.n)::int
    from (
        select leoflow_core.slot_of(g.task_idx, g.map_index) as slot, 1 as n from unnest(p_grown) as g
        union all
        select leoflow_core.slot_of(p_task_idx, -1), -1 where p_replaced > 0
    ) as s
    group by s.slot having sum(s.n) <> 0
$$;
comment on function leoflow_core.more_per_slot(leoflow_core.instance_ref[], int, int) is
'How many more instances each slot waits for after a task grew.';

-- Takes removed instances of a mapped task out of their successors' counters.
-- Locks: successors' instances in key order. Callers: remove_surplus.
create or replace function leoflow_core.shrink_joins(p_removed leoflow_core.settled[]) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    with change as materialized (
        select
            r.run_key, e.downstream_idx, i.first_index as map_index, i.fan,
            count(*) filter (where e.kind = 'd')::int as upstreams, count(*) filter (where e.kind <> 'd')::int as extra
        from unnest(p_removed) as r
        join leoflow_core.task_edge as e on e.version_key = r.version_key and e.upstream_idx = r.task_idx and e.kind <> 'm'
        cross join lateral leoflow_core.joined_instances(
            r.run_key, e.downstream_idx, e.is_indexed, e.fan_inputs, e.fan, e.is_ranged, r.map_index
        ) as i
        group by r.run_key, e.downstream_idx, i.first_index, i.fan
    ),
    locked as materialized (
        select t.run_key, t.task_idx, t.map_index, c.upstreams, c.extra
        from change as c
        join leoflow_core.task_instance as t
            on t.run_key = c.run_key and t.task_idx = c.downstream_idx
                and t.map_index between coalesce(c.map_index, -1)
                and coalesce(c.map_index + coalesce(c.fan, 1) - 1, 2147483647)
        where t.state is null
        order by t.run_key, t.task_idx, t.map_index
        for update of t
    )
    update leoflow_core.task_instance as t set upstreams = t.upstreams - l.upstreams, extra_left = t.extra_left - l.extra
    from (
        select l.run_key, l.task_idx, l.map_index, sum(l.upstreams)::int as upstreams, sum(l.extra)::int as extra
        from locked as l group by l.run_key, l.task_idx, l.map_index
    ) as l
    where t.run_key = l.run_key and t.task_idx = l.task_idx and t.map_index = l.map_index;
end
$$;
comment on function leoflow_core.shrink_joins(leoflow_core.settled[]) is
'Takes removed instances of a mapped task out of their successors'' counters.';
