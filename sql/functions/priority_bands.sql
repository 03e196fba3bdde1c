-- The band a priority is in, as keys (minus the priority): each of the first fifteen is its own, from there on an eighth of
-- a power of two is one. So a version with many priorities has few bands, and one with few has exact ones.
-- Locks: none. Callers: register_bands.
create or replace function leoflow_core.priority_band(p_priority int, out first_key int, out last_key int)
language sql immutable parallel safe as $$
    select
        (case when p_priority > 0 then 1 - b.low - b.width else least(b.low, 2147483647) end)::int,
        (case when p_priority > 0 then -b.low else least(b.low + b.width - 1, 2147483647) end)::int
    from (
        select m.size - m.size % w.width as low, w.width
        from (select abs(p_priority::bigint) as size) as m
        cross join lateral (
            select 1::bigint << greatest(length(ltrim(m.size::bit(32)::text, '0')) - 4, 0) as width
        ) as w
    ) as b
$$;
comment on function leoflow_core.priority_band(int) is 'The band a priority is in.';

-- Adds the bands of a version's tasks to those that claims look into.
-- Locks: the rows of new bands in key order. Callers: register_version.
create or replace function leoflow_core.register_bands(p_version_key bigint) returns void language sql as $$
    insert into leoflow_core.priority_band (queue_key, first_key, pool_key, last_key)
    select distinct t.queue_key, b.first_key, t.pool_key, b.last_key
    from (
        select distinct k.queue_key, k.pool_key, k.priority from leoflow_core.task as k
        where k.version_key = p_version_key
    ) as t
    cross join lateral leoflow_core.priority_band(t.priority) as b
    order by t.queue_key, b.first_key, t.pool_key
    on conflict (queue_key, first_key, pool_key) do nothing
$$;
comment on function leoflow_core.register_bands(bigint) is 'Adds the bands of a version''s tasks.';

-- The bands of a queue, best first. Locks: none. Callers: claim, best_ready_key.
create or replace function leoflow_core.ready_bands(p_queue_key int) returns table (first_key int, last_key int)
language sql stable as $$
    select distinct on (b.first_key) b.first_key, b.last_key
    from leoflow_core.priority_band as b
    where b.queue_key = p_queue_key
    order by b.first_key
$$;
comment on function leoflow_core.ready_bands(int) is 'The bands of a queue, best first.';

-- The best ready_key that is claimable in a queue; null: nothing is. Locks: none. Callers: claim.
create or replace function leoflow_core.best_ready_key(p_queue_key int, p_watermark bigint) returns int
language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    return (
        select head.ready_key
        from leoflow_core.ready_bands(p_queue_key) as b
        cross join lateral (
            select t.ready_key from leoflow_core.task_instance as t
            where t.queue_key = p_queue_key and t.ready_key between b.first_key and b.last_key
                and t.run_key >= p_watermark
            order by t.ready_key, t.run_key, t.task_idx, t.map_index limit 1
        ) as head
        limit 1
    );
end
$$;
comment on function leoflow_core.best_ready_key(int, bigint) is 'The best ready_key that is claimable in a queue.';
