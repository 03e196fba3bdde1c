-- Writes what every run of a new version starts with: numbers of instances beside the version, slots in join_slot.
-- Locks: the version. Callers: register_version.
create or replace function leoflow_core.total_version(p_version_key bigint) returns void language plpgsql
set jit = off set plan_cache_mode = auto set enable_nestloop = off -- a new version or run is not in the statistics
set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set enable_bitmapscan = on
as $$
begin
    insert into leoflow_core.join_slot (version_key, task_idx, slot, waiting, trigger_rule)
    select
        p_version_key, e.downstream_idx, leoflow_core.slot_of(e.upstream_idx, i.map_index), count(*), d.trigger_rule
    from leoflow_core.task as d
    join leoflow_core.task_edge as e on e.version_key = d.version_key and e.downstream_idx = d.task_idx and e.is_slotted
    join leoflow_core.task as u on u.version_key = d.version_key and u.task_idx = e.upstream_idx
    cross join lateral generate_series(0, coalesce(u.map_length, 1) - 1) as i(map_index)
    where d.version_key = p_version_key and d.is_slotted
    group by e.downstream_idx, leoflow_core.slot_of(e.upstream_idx, i.map_index), d.trigger_rule;

    update leoflow_core.dag_version as v set
        instance_count = c.instances, counted_count = c.counted, expands = c.expands,
        expands_at_start = c.expands_at_start,
        has_dates = exists (select from leoflow_core.own_dates(p_version_key))
    from (
        select
            coalesce(sum(coalesce(t.map_length, 1)), 0) as instances,
            coalesce(sum(coalesce(t.map_length, 1)) filter (where t.is_counted), 0) as counted,
            coalesce(bool_or(t.expands), false) as expands,
            coalesce(bool_or(t.expands and (t.upstream_count + t.extra_count = 0 or t.trigger_rule = 'always')), false)
                as expands_at_start
        from leoflow_core.task as t where t.version_key = p_version_key
    ) as c
    where v.version_key = p_version_key;

    insert into leoflow_core.join_slot (version_key, task_idx, slot, waiting)
    select p_version_key, -1, leoflow_core.slot_of(t.task_idx, i.map_index), count(*)
    from leoflow_core.dag_version as v
    join leoflow_core.task as t on t.version_key = v.version_key
    cross join lateral generate_series(0, coalesce(t.map_length, 1) - 1) as i(map_index)
    where v.version_key = p_version_key and (v.expands or v.counted_count > leoflow_core.slotting_threshold())
        and t.is_counted
    group by leoflow_core.slot_of(t.task_idx, i.map_index);

    update leoflow_core.dag_version as v set
        has_slotted = s.n > 0, end_slots = s.n_end
    from (
        select count(*) as n, count(*) filter (where j.task_idx = -1) as n_end from leoflow_core.join_slot as j
        where j.version_key = p_version_key
    ) as s
    where v.version_key = p_version_key;
end
$$;
comment on function leoflow_core.total_version(bigint) is 'Writes what every run of a new version starts with.';
