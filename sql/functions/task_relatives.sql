-- Adds to chosen tasks of a version what Airflow 3.2 takes along upstream and downstream. The arrays are parallel; a
-- null map index means all instances of the task.
--   marked              all relatives, whole tasks (mark_tasks.find_task_relatives)
--   cleared in a run    first upstream, then downstream of all that (post_clear_task_instances)
--   cleared in any run  both ways at once, whole tasks (the same, without a run)
-- Locks: none. Callers: select_tasks.
create or replace function leoflow_core.add_relatives(
    p_version_key bigint, p_run_key bigint, p_task_idxs int[], p_map_indexes int[], p_upstream boolean,
    p_downstream boolean, p_rule text,
    out task_idxs int[], out map_indexes int[]
) language plpgsql stable as $$
declare
    v_upstream boolean;
begin
    task_idxs := p_task_idxs;
    map_indexes := p_map_indexes;
    if p_rule = 'cleared in any run' then
        task_idxs := task_idxs || leoflow_core.subset_tasks(p_version_key, p_task_idxs, p_upstream, p_downstream);
    elsif p_rule = 'marked' then
        task_idxs := task_idxs
            || case when p_upstream then leoflow_core.flat_relatives(p_version_key, p_task_idxs, true) end
            || case when p_downstream then leoflow_core.flat_relatives(p_version_key, p_task_idxs, false) end;
    else
        foreach v_upstream in array array[true, false] loop
            continue when not case when v_upstream then p_upstream else p_downstream end;
            select task_idxs || array_agg(r.task_idx), map_indexes || array_agg(r.map_index) into task_idxs, map_indexes
            from leoflow_core.relevant_relatives(p_version_key, p_run_key, task_idxs, map_indexes, v_upstream) as r;
        end loop;
    end if;
    -- what was added without an index is whole
    map_indexes := map_indexes || array_fill(null::int, array[cardinality(task_idxs) - cardinality(map_indexes)]);
end
$$;
comment on function leoflow_core.add_relatives(bigint, bigint, int[], int[], boolean, boolean, text) is
'Adds to chosen tasks what is taken along upstream and downstream.';

-- The relatives one way of chosen instances of a run: of an instance in a mapped group, those in the group with its map
-- index, those in groups inside or around it with the indexes they refer to, and beyond, as of any other task, whole
-- tasks with their setups and teardowns (Airflow, find_relevant_relatives). Locks: none. Callers: add_relatives.
create or replace function leoflow_core.relevant_relatives(
    p_version_key bigint, p_run_key bigint, p_task_idxs int[], p_map_indexes int[], p_upstream boolean
) returns table (task_idx int, map_index int) language plpgsql stable as $$
#variable_conflict use_column
declare
    v_whole int[];
    v_indexed int[];
    v_origins int[];
begin
    select array_agg(c.task_idx) filter (where not m.is_indexed), array_agg(distinct c.task_idx) filter (where m.is_indexed)
    into v_whole, v_indexed
    from unnest(p_task_idxs, p_map_indexes) as c(task_idx, map_index)
    join leoflow_core.task as k on k.version_key = p_version_key and k.task_idx = c.task_idx
    cross join lateral (select c.map_index is not null and k.map_inputs is not null as is_indexed) as m;
    v_origins := v_indexed;
    if exists (select from leoflow_core.shared_maps(p_version_key) as s where s.upper_id <> s.lower_id) then
        -- what is found refers to other indexes than what was chosen
        v_origins := v_origins || leoflow_core.flat_relatives(p_version_key, v_indexed, p_upstream);
    end if;
    return query
    with recursive shared as materialized (select s.* from leoflow_core.shared_maps(p_version_key) as s),
    near as materialized (
        select
            o.task_idx as origin, r.task_idx, s.is_ranged,
            case when s.fan_inputs is not null then leoflow_core.current_fan(p_run_key, p_version_key, s.fan_inputs)
                when s.upper_id is not null then 1 end as fan -- null or 0: not inside
        from leoflow_core.task as o
        cross join lateral unnest(leoflow_core.flat_relatives(p_version_key, array[o.task_idx], p_upstream)) as r(task_idx)
        join leoflow_core.task as k on k.version_key = p_version_key and k.task_idx = r.task_idx
        left join shared as s on s.lower_id = o.map_group_id and s.upper_id = k.map_group_id
        where o.version_key = p_version_key and o.task_idx = any(v_origins) and (o.map_group_id is not null or o.is_mapped)
    ),
    chosen as (
        select c.task_idx, c.map_index from unnest(p_task_idxs, p_map_indexes) as c(task_idx, map_index)
        where c.task_idx = any(v_indexed) and c.map_index is not null
    ),
    found as (
        select c.task_idx, c.map_index from chosen as c
        union
        select n.task_idx, i.map_index
        from found as f
        join near as n on n.origin = f.task_idx and n.fan > 0
        cross join lateral generate_series(
            f.map_index / n.fan * case when n.is_ranged then n.fan else 1 end,
            f.map_index / n.fan * case when n.is_ranged then n.fan else 1 end + case when n.is_ranged then n.fan - 1 else 0 end
        ) as i(map_index)
    ),
    outside as materialized (
        select array_agg(distinct n.task_idx) as task_idxs from near as n where coalesce(n.fan, 0) = 0
    )
    select f.task_idx, f.map_index from found as f
    union
    select w.task_idx, null
    from outside as o
    cross join lateral unnest(
        o.task_idxs || leoflow_core.subset_tasks(p_version_key, v_whole || o.task_idxs, p_upstream, not p_upstream)
    ) as w(task_idx);
end
$$;
comment on function leoflow_core.relevant_relatives(bigint, bigint, int[], int[], boolean) is
'The relatives one way of chosen instances of a run.';

-- What comes along with tasks: relatives, and the setups and teardowns of all these (Airflow, DAG.partial_subset).
-- With neither way the setups and teardowns alone.
-- Locks: none. Callers: add_relatives, relevant_relatives.
create or replace function leoflow_core.subset_tasks(
    p_version_key bigint, p_task_idxs int[], p_upstream boolean, p_downstream boolean
) returns int[] language plpgsql stable
set jit = off set plan_cache_mode = auto set enable_nestloop = off -- a new version is not in the statistics
as $$
declare
    v_above int[] := case when p_upstream then leoflow_core.flat_relatives(p_version_key, p_task_idxs, true) else '{}' end;
    v_below int[] := case when p_downstream then leoflow_core.flat_relatives(p_version_key, p_task_idxs, false) else '{}' end;
begin
    return (
        with edges as materialized (
            select e.upstream_idx, e.downstream_idx, e.kind, u.is_setup, d.is_teardown
            from leoflow_core.task_edge as e
            join leoflow_core.task as u on u.version_key = p_version_key and u.task_idx = e.upstream_idx
            join leoflow_core.task as d on d.version_key = p_version_key and d.task_idx = e.downstream_idx
            where e.version_key = p_version_key and e.kind in ('d', 's', 't')
        ),
        pairs as materialized (
            select e.upstream_idx as setup, e.downstream_idx as teardown from edges as e
            where e.kind = 'd' and e.is_setup and e.is_teardown
        ),
        -- tasks whose setups come along, if their teardowns are below these tasks or there are none
        inside as (
            select k.task_idx from leoflow_core.task as k
            where k.version_key = p_version_key and not k.is_setup and not k.is_teardown and case
                when k.task_idx = any(p_task_idxs) then not p_upstream else k.task_idx = any(v_below) end
        ),
        own_setups as (
            select e.upstream_idx as setup
            from inside as i
            join edges as e on e.downstream_idx = i.task_idx and e.is_setup
            where e.kind = 's'
                or e.kind = 'd' and (
                    not exists (select from pairs as p where p.setup = e.upstream_idx)
                    or exists (
                        select from pairs as p
                        join edges as w on w.downstream_idx = p.teardown and w.upstream_idx = i.task_idx
                        where p.setup = e.upstream_idx and w.kind in ('d', 't')
                    )
                )
        ),
        found as (
            select a.task_idx from unnest(v_above || v_below) as a(task_idx)
            union
            select o.setup from own_setups as o
            union
            select p.teardown from pairs as p
            where p.setup in (select o.setup from own_setups as o)
                or (p.setup = any(p_task_idxs) and not p_downstream)
                or (p.setup = any(v_above) and case
                    -- a teardown does not bring itself
                    when p.teardown = any(p_task_idxs) then p.setup = any(
                        leoflow_core.flat_relatives(p_version_key, array_remove(p_task_idxs, p.teardown), true)
                    )
                    else true end)
        )
        select coalesce(array_agg(f.task_idx), '{}') from found as f
    );
end
$$;
comment on function leoflow_core.subset_tasks(bigint, int[], boolean, boolean) is 'What comes along with tasks.';

-- All tasks above or below tasks. Locks: none. Callers: add_relatives, relevant_relatives, subset_tasks.
create or replace function leoflow_core.flat_relatives(p_version_key bigint, p_task_idxs int[], p_upstream boolean)
returns int[] language sql stable as $$
    with recursive found as (
        select r.task_idx
        from leoflow_core.task_edge as e
        cross join lateral (
            select
                case when p_upstream then e.downstream_idx else e.upstream_idx end as origin,
                case when p_upstream then e.upstream_idx else e.downstream_idx end as task_idx
        ) as r
        where e.version_key = p_version_key and e.kind = 'd' and r.origin = any(p_task_idxs)
        union
        select case when p_upstream then e.upstream_idx else e.downstream_idx end
        from found as f
        join leoflow_core.task_edge as e
            on e.version_key = p_version_key and e.kind = 'd'
            and case when p_upstream then e.downstream_idx else e.upstream_idx end = f.task_idx
    )
    select coalesce(array_agg(f.task_idx), '{}') from found as f
$$;
comment on function leoflow_core.flat_relatives(bigint, int[], boolean) is 'All tasks above or below tasks.';
