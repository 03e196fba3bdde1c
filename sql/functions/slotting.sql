-- Joins with more upstreams than this count in slots, so that no row is written by all of them (decision 0002).
-- Locks: none. Callers: create_run, recount_run, register_tasks (as a literal).
create or replace function leoflow_core.slotting_threshold() returns int language sql immutable parallel safe as $$ select 64 $$;
comment on function leoflow_core.slotting_threshold() is 'Joins with more upstreams than this count in slots.';

-- The slot an upstream instance counts in. Locks: none. Callers: propagate, open_join_counters, recount_run.
create or replace function leoflow_core.slot_of(p_task_idx int, p_map_index int) returns smallint
language sql immutable parallel safe as $$
    select ((p_task_idx + greatest(p_map_index, 0)) & 15)::smallint
$$;
comment on function leoflow_core.slot_of(int, int) is 'The slot an upstream instance counts in.';

-- Keys of the advisory locks, all taken at transaction level: start_runs and asset_runs (with a dag_key), admit and
-- assets (with 0).
-- Locks: none. Callers: create_run, start_runs, admit.
create or replace function leoflow_core.lock_class(p_name text) returns int language sql immutable parallel safe as $$
    select case p_name when 'start_runs' then 702301 when 'admit' then 702302 when 'maintain' then 702303
        when 'assets' then 702331 when 'asset_runs' then 702332 end
$$;
comment on function leoflow_core.lock_class(text) is 'Keys of the advisory locks.';

-- Opens the slotted counters of a new run: of its joins with many upstreams and, with p_slots_end, of its end.
-- Locks: only its own new rows. Callers: create_run.
create or replace function leoflow_core.open_join_counters(p_run_key bigint, p_version_key bigint, p_slots_end boolean)
returns void language plpgsql
set jit = off set plan_cache_mode = auto set enable_nestloop = off -- a new version or run is not in the statistics
set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set enable_bitmapscan = on
as $$
begin
    insert into leoflow_core.join_counter (run_key, task_idx, map_index, slot, waiting, trigger_rule)
    select p_run_key, e.downstream_idx, -1, leoflow_core.slot_of(e.upstream_idx, i.map_index), count(*), d.trigger_rule
    from leoflow_core.task as d
    join leoflow_core.task_edge as e on e.version_key = d.version_key and e.downstream_idx = d.task_idx and e.is_slotted
    join leoflow_core.task as u on u.version_key = d.version_key and u.task_idx = e.upstream_idx
    cross join lateral generate_series(0, coalesce(u.map_length, 1) - 1) as i(map_index)
    where d.version_key = p_version_key and d.is_slotted
    group by e.downstream_idx, leoflow_core.slot_of(e.upstream_idx, i.map_index), d.trigger_rule;
    if p_slots_end then
        insert into leoflow_core.join_counter (run_key, task_idx, map_index, slot, waiting)
        select p_run_key, -1, -1, leoflow_core.slot_of(t.task_idx, i.map_index), count(*)
        from leoflow_core.task as t
        cross join lateral generate_series(0, coalesce(t.map_length, 1) - 1) as i(map_index)
        where t.version_key = p_version_key and t.is_counted
        group by leoflow_core.slot_of(t.task_idx, i.map_index);
        update leoflow_core.dag_run as r set open_slots = (
            select count(*) from leoflow_core.join_counter as j where j.run_key = p_run_key and j.task_idx = -1
        ) where r.run_key = p_run_key;
    end if;
end
$$;
comment on function leoflow_core.open_join_counters(bigint, bigint, boolean) is 'Opens the slotted counters of a new run.';
