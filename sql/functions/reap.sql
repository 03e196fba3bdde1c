-- Places the attempts of lost workers again: workers whose lease ran out or that retired, and attempts that were
-- claimed but not started for too long. The user's retries are not spent; after max_infra_retries the instance fails.
-- Returns how many attempts it ended; wake workers if it is not 0.
-- Locks: the lost workers' rows with SKIP LOCKED, the instances in key order; as propagate. Callers: scheduler.
create or replace function leoflow_core.reap(p_limit int default 1000) returns int language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_workers int[];
    v_lost leoflow_core.instance_ref[];
begin
    -- heartbeats of the future: the database's clock went back, and a lease is good for its length from now, not longer
    update leoflow_core.worker as w set
        lease_until = clock_timestamp() + (w.lease_until - w.heartbeat_at), heartbeat_at = clock_timestamp()
    where w.reaped_at is null and w.heartbeat_at > clock_timestamp() + interval '1 second';
    select array_agg(w.worker_key) into v_workers from (
        select w.worker_key from leoflow_core.worker as w
        where w.reaped_at is null and w.lease_until <= clock_timestamp()
        for update skip locked
    ) as w;
    if v_workers is not null then
        select array_agg(l.ref) into v_lost from (
            select (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref
            from leoflow_core.dag_run as r
            join leoflow_core.task_instance as t on t.run_key = r.run_key
            where r.state = 'running' and t.worker_key = any(v_workers) and t.state in ('queued', 'running', 'restarting')
            order by t.run_key, t.task_idx, t.map_index
            limit p_limit
            for update of t
        ) as l;
        update leoflow_core.worker as w set
            retired_at = coalesce(w.retired_at, clock_timestamp()), is_idle = false,
            reaped_at = case when coalesce(cardinality(v_lost), 0) < p_limit then clock_timestamp() end
        where w.worker_key = any(v_workers);
    end if;
    select v_lost || array_agg(l.ref) into v_lost from (
        select (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref
        from leoflow_core.task_instance as t
        where t.due_at <= clock_timestamp() and t.state = 'queued'
            and not (t.worker_key = any(coalesce(v_workers, '{}')))
        order by t.run_key, t.task_idx, t.map_index
        limit p_limit
        for update of t skip locked
    ) as l;
    if v_lost is null then
        return 0;
    end if;
    return leoflow_core.place_again(v_lost, 'the worker was lost', true);
end
$$;
comment on function leoflow_core.reap(int) is 'Places the attempts of lost workers again, a bounded number of times.';
