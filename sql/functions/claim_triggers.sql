-- Gives a triggerer up to p_limit triggers to run, oldest first, with the attempts that wait for them. Triggers of
-- triggerers whose lease ran out are free. p_queues null: of every queue.
-- Raises LF410 when the triggerer has no lease.
-- Locks: the triggerer's row for key share, lost triggerers' rows and triggers with SKIP LOCKED. Callers: triggerer.
create or replace function leoflow_core.claim_triggers(
    p_triggerer_key int, p_limit int, p_queues text[] default null
) returns table (trigger_key bigint, classpath text, kwargs jsonb, attempt leoflow_core.claimed_attempt)
language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_lost int[];
    v_keys bigint[];
    v_stale bigint[];
    v_refs leoflow_core.instance_ref[];
begin
    perform set_config('synchronous_commit', 'off', true);
    perform leoflow_core.require_triggerer(p_triggerer_key);
    -- as in reap: the clock went back
    update leoflow_core.process as p set
        lease_until = clock_timestamp() + (p.lease_until - p.heartbeat_at), heartbeat_at = clock_timestamp()
    where p.kind = 'triggerer' and p.ended_at is null and p.heartbeat_at > clock_timestamp() + interval '1 second';
    select array_agg(p.process_key) into v_lost from (
        select p.process_key from leoflow_core.process as p
        where p.kind = 'triggerer' and p.ended_at is null and p.lease_until <= clock_timestamp()
        for update skip locked
    ) as p;
    if v_lost is not null then
        perform leoflow_core.retire_triggerer(l.triggerer_key) from unnest(v_lost) as l(triggerer_key);
    end if;
    with free as materialized (
        select g.trigger_key, g.run_key, g.task_idx, g.map_index, g.attempt_id
        from leoflow_core.trigger as g
        where g.is_armed and g.triggerer_key is null and (p_queues is null or g.queue = any(p_queues))
        order by g.trigger_key limit p_limit
        for update skip locked
    ),
    checked as materialized (
        select f.*, t.run_key is not null as is_awaited
        from free as f
        left join leoflow_core.task_instance as t
            on t.run_key = f.run_key and t.task_idx = f.task_idx and t.map_index = f.map_index
            and t.state = 'deferred' and t.attempt_id = f.attempt_id
    )
    select
        array_agg(c.trigger_key order by c.trigger_key) filter (where c.is_awaited),
        array_agg((c.run_key, c.task_idx, c.map_index)::leoflow_core.instance_ref order by c.trigger_key)
            filter (where c.is_awaited),
        array_agg(c.trigger_key) filter (where not c.is_awaited)
    into v_keys, v_refs, v_stale from checked as c;
    delete from leoflow_core.trigger as g where g.trigger_key = any(v_stale);
    if v_keys is null then
        return;
    end if;
    update leoflow_core.trigger as g set triggerer_key = p_triggerer_key where g.trigger_key = any(v_keys);
    return query
    select g.trigger_key, g.classpath, g.kwargs, a
    from leoflow_core.describe_attempts(v_refs) as a
    join leoflow_core.trigger as g
        on g.run_key = a.run_key and g.task_idx = a.task_idx and g.map_index = a.map_index;
end
$$;
comment on function leoflow_core.claim_triggers(int, int, text[]) is 'Gives a triggerer triggers to run.';
