-- Gives a worker up to p_limit attempts, highest priority first, oldest run first; pools, max_active_tasks and the
-- per-task limits are never exceeded. The best comes from the queue, and of what waits for limits or not, where it is;
-- the rest of one call may be taken from there too. p_queues null means every queue. p_start: the attempts are running at once
-- (a launcher on this machine); otherwise they are queued until `start`.
-- A claim need not be durable (decision 0001): it turns synchronous_commit off, so call it in its own transaction and
-- never together with finish.
-- Raises LF410 when the worker has no lease.
-- It looks into each band of priorities from the low watermark on, so that the dead entries of ended runs are passed over
-- and not walked (decision 0006); bands come in order because they are joined by nested loops.
-- Locks: admission (advisory, only when something waits for a limit), then instances with SKIP LOCKED.
-- Callers: worker.
create or replace function leoflow_core.claim(
    p_worker_key int, p_limit int, p_queues text[] default null, p_start boolean default true
) returns setof leoflow_core.claimed_attempt language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
    v_queues int[];
    v_queue int;
    v_watermark bigint;
    v_claimed leoflow_core.instance_ref[] := '{}';
    v_batch leoflow_core.instance_ref[];
    v_wanted int;
    v_found int;
    v_best int;
    v_gated boolean;
    v_stale leoflow_core.instance_ref[];
    v_patience interval;
    v_aside bigint[];
begin
    if not p_start then
        v_patience := make_interval(secs => leoflow_core.setting('queued_timeout_seconds')::float8);
    end if;
    perform set_config('synchronous_commit', 'off', true);
    perform leoflow_core.require_lease(p_worker_key);
    if p_limit <= 0 then
        return;
    end if;
    if exists (select from leoflow_core.dag_run as r where r.state = 'queued') then
        perform leoflow_core.start_runs();
    end if;
    select w.run_key into v_watermark from leoflow_core.low_watermark as w;
    v_queues := array(
        select q.queue_key from leoflow_core.queue as q where p_queues is null or q.name = any(p_queues)
        order by q.queue_key
    );
    v_gated := exists (
        select from leoflow_core.priority_band as b
        cross join lateral (
            select from leoflow_core.task_instance as t
            where t.queue_key = b.queue_key and t.pool_key = b.pool_key
                and t.gate_key between b.first_key and b.last_key and t.run_key >= v_watermark
            limit 1
        ) as head
        where b.queue_key = any(v_queues)
    );
    if v_gated or cardinality(v_queues) > 1 then
        select array_agg(q.queue_key order by q.best, q.queue_key) filter (where v_gated or q.best is not null), min(q.best)
        into v_queues, v_best
        from (
            select q.queue_key, leoflow_core.best_ready_key(q.queue_key, v_watermark) as best
            from unnest(v_queues) as q(queue_key)
            offset 0 -- asked once per queue
        ) as q;
    end if;
    if v_gated then
        v_claimed := leoflow_core.admit(p_worker_key, p_limit, v_queues, p_start, v_watermark, v_best);
    end if;
    foreach v_queue in array coalesce(v_queues, '{}') loop
        while cardinality(v_claimed) < p_limit loop
            v_wanted := p_limit - cardinality(v_claimed);
            with candidate as materialized (
                select t.*
                from leoflow_core.ready_bands(v_queue) as b
                cross join lateral (
                    select t.run_key, t.task_idx, t.map_index, t.pool_key
                    from leoflow_core.task_instance as t
                    where t.queue_key = v_queue and t.ready_key between b.first_key and b.last_key
                        and t.run_key >= v_watermark
                    order by t.ready_key, t.run_key, t.task_idx, t.map_index
                    limit v_wanted
                    for update skip locked
                ) as t
                limit v_wanted
            ),
            checked as materialized (
                -- a pool that got a limit while the run was being created
                select c.*, p.slots >= 0 as is_limited, not d.is_paused and r.state = 'running' and p.slots < 0 as may_run
                from candidate as c
                join leoflow_core.pool as p on p.pool_key = c.pool_key
                join leoflow_core.dag_run as r on leoflow_core.by_key(r.run_key, c.run_key)
                join leoflow_core.dag as d on leoflow_core.by_key(d.dag_key, r.dag_key)
            ),
            taken as (
                update leoflow_core.task_instance as t set
                    ready_key = null,
                    gate_key = case when c.is_limited then -t.priority end,
                    is_gated = c.is_limited,
                    state = case
                        when not c.may_run then t.state
                        when p_start then 'running'::leoflow.task_instance_state
                        else 'queued'::leoflow.task_instance_state end,
                    attempt_id = case when c.may_run then leoflow_core.uuid7() else t.attempt_id end,
                    worker_key = case when c.may_run then p_worker_key else t.worker_key end,
                    try_number = t.try_number + (c.may_run and not t.is_resumed)::int,
                    queued_at = case when c.may_run then v_now else t.queued_at end,
                    start_date = case when not c.may_run or t.is_resumed then t.start_date when p_start then v_now end,
                    end_date = case when c.may_run then null else t.end_date end,
                    due_at = case when c.may_run and not p_start then v_now + v_patience end,
                    is_resumed = t.is_resumed and not c.may_run
                from checked as c
                where leoflow_core.by_key(t.run_key, c.run_key) and t.task_idx = c.task_idx and t.map_index = c.map_index
                returning t.run_key, t.task_idx, t.map_index, t.priority, t.try_number, t.reschedules, c.may_run
            )
            select
                count(*),
                array_agg((t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref
                    order by t.priority desc, t.run_key, t.task_idx, t.map_index) filter (where t.may_run),
                array_agg((t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref)
                    filter (where t.may_run and (t.try_number > 1 or t.reschedules > 0)),
                array_agg(distinct t.run_key) filter (where not t.may_run)
            into v_found, v_batch, v_stale, v_aside
            from taken as t;
            v_claimed := v_claimed || coalesce(v_batch, '{}');
            if v_aside is not null then
                perform leoflow_core.recheck_held(v_aside);
            end if;
            if v_stale is not null then
                perform leoflow_core.clear_attempt_output(v_stale);
            end if;
            exit when v_found < v_wanted and v_aside is null;
        end loop;
    end loop;
    if v_gated and v_best is not null and cardinality(v_claimed) < p_limit then
        v_claimed := v_claimed
            || leoflow_core.admit(p_worker_key, p_limit - cardinality(v_claimed), v_queues, p_start, v_watermark);
    end if;
    if cardinality(v_claimed) > 0 then
        return query select * from leoflow_core.describe_attempts(v_claimed);
    end if;
end
$$;
comment on function leoflow_core.claim(int, int, text[], boolean) is 'Gives a worker attempts to run, within all limits.';
