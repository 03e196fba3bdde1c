-- Places the attempts of lost workers again: workers whose lease ran out or that retired, and attempts that were
-- claimed but not started for too long. The user's retries are not spent; after max_infra_retries the instance fails.
-- Returns how many attempts it ended; wake workers if it is not 0.
-- Locks: the lost workers' rows with SKIP LOCKED, the instances in key order; as propagate. Callers: scheduler.
create or replace function leoflow_core.reap(p_limit int default 1000) returns int language plpgsql as $$
#variable_conflict use_column
declare
    v_workers int[];
    v_lost leoflow_core.instance_ref[];
    v_settled leoflow_core.settled[];
    v_failed leoflow_core.instance_ref[];
    v_done int;
begin
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
    perform leoflow_core.record_attempts(v_lost, 'the worker was lost');
    delete from leoflow_core.gate_token as g using unnest(v_lost) as l
    where g.run_key = l.run_key and g.task_idx = l.task_idx and g.map_index = l.map_index;
    with written as (
        update leoflow_core.task_instance as t set
            state = case
                when t.state = 'restarting' or t.infra_retries < leoflow_core.setting('max_infra_retries')
                    then 'scheduled' else 'failed' end::leoflow.task_instance_state,
            infra_retries = t.infra_retries + 1,
            max_tries = case when t.max_tries > 0 then t.max_tries + 1 else 0 end,
            attempt_id = null, due_at = null, pid = null, hostname = null,
            scheduled_at = clock_timestamp(), end_date = clock_timestamp(), start_date = coalesce(t.start_date, clock_timestamp()),
            ready_key = case
                when (t.state = 'restarting' or t.infra_retries < leoflow_core.setting('max_infra_retries'))
                    and not t.is_gated then -t.priority end,
            gate_key = case
                when (t.state = 'restarting' or t.infra_retries < leoflow_core.setting('max_infra_retries'))
                    and t.is_gated then -t.priority end
        from unnest(v_lost) as l
        where t.run_key = l.run_key and t.task_idx = l.task_idx and t.map_index = l.map_index
        returning
            t.state, (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref,
            row(
                t.run_key, t.version_key, t.task_idx, t.map_index, t.state, t.queue_key, t.pool_key, t.pool_slots,
                t.is_leaf, t.is_counted, t.feeds_slots, t.has_downstream, false
            )::leoflow_core.settled as settled
    )
    select
        count(*), array_agg(w.settled) filter (where w.state = 'failed'), array_agg(w.ref) filter (where w.state = 'failed')
    into v_done, v_settled, v_failed from written as w;
    if v_settled is not null then
        perform leoflow_core.propagate(v_settled || leoflow_core.fail_fast(v_failed));
    end if;
    return v_done;
end
$$;
comment on function leoflow_core.reap(int) is 'Places the attempts of lost workers again, a bounded number of times.';
