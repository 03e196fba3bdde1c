-- Joins with more upstreams than this count in slots, so that no row is written by all of them (decision 0002).
-- Locks: none. Callers: total_version, recount_run, register_tasks (as a literal).
create or replace function leoflow_core.slotting_threshold() returns int language sql immutable parallel safe as $$ select 64 $$;
comment on function leoflow_core.slotting_threshold() is 'Joins with more upstreams than this count in slots.';

-- The slot an upstream instance counts in. Locks: none. Callers: propagate, total_version, recount_run.
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

-- Opens the slots new runs start with, as their versions say; whoever inserts a run gives it its version's end_slots.
-- Locks: only its own new rows. Callers: create_run, create_due_runs, insert_backfill_runs.
create or replace function leoflow_core.open_join_counters(p_run_keys bigint[]) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    insert into leoflow_core.join_counter (run_key, task_idx, map_index, slot, waiting, trigger_rule)
    select r.run_key, s.task_idx, -1, s.slot, s.waiting, s.trigger_rule
    from unnest(p_run_keys) as n(run_key)
    join leoflow_core.dag_run as r on r.run_key = n.run_key
    join leoflow_core.join_slot as s on s.version_key = r.version_key;
end
$$;
comment on function leoflow_core.open_join_counters(bigint[]) is 'Opens the slots new runs start with.';
