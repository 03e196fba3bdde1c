-- Gives attempts back that the worker could not run for reasons of the machine (it drains, the launch failed): they
-- are placed again without spending a retry. After max_infra_retries the instance fails; a draining worker passes
-- p_is_drain and does not count. Returns the ids that had lost their place anyway. Wake workers afterwards.
-- Locks: the instances in key order, then as propagate. Callers: worker.
create or replace function leoflow_core.release(
    p_worker_key int, p_run_keys bigint[], p_task_idxs int[], p_map_indexes int[], p_attempt_ids uuid[],
    p_reason text default 'released by the worker', p_is_drain boolean default false
) returns setof uuid language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_lost leoflow_core.instance_ref[];
    v_ids uuid[];
begin
    select array_agg(l.ref), array_agg(l.attempt_id) into v_lost, v_ids from (
        select (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref, t.attempt_id
        from unnest(p_run_keys, p_task_idxs, p_map_indexes, p_attempt_ids) as i(run_key, task_idx, map_index, attempt_id)
        join leoflow_core.task_instance as t
            on leoflow_core.by_key(t.run_key, i.run_key) and t.task_idx = i.task_idx and t.map_index = i.map_index
        where t.attempt_id = i.attempt_id and t.worker_key = p_worker_key and t.state in ('queued', 'running', 'restarting')
        order by t.run_key, t.task_idx, t.map_index
        for update of t
    ) as l;
    if v_lost is not null then
        perform leoflow_core.place_again(v_lost, p_reason, not p_is_drain);
    end if;
    return query select i.attempt_id from unnest(p_attempt_ids) as i(attempt_id)
    where not (i.attempt_id = any(coalesce(v_ids, '{}')));
end
$$;
comment on function leoflow_core.release(int, bigint[], int[], int[], uuid[], text, boolean) is
'Gives attempts back that the worker could not run.';

-- Makes instances claimable again whose attempt was lost without a fault of the user's code: retries are not spent.
-- p_counts: it counts against max_infra_retries, beyond which the instance fails. Returns how many.
-- Locks: the caller holds the instances; as propagate. Callers: release, reap.
create or replace function leoflow_core.place_again(
    p_lost leoflow_core.instance_ref[], p_reason text, p_counts boolean
) returns int language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_bound numeric := leoflow_core.setting('max_infra_retries');
    v_settled leoflow_core.settled[];
    v_failed leoflow_core.instance_ref[];
    v_done int;
begin
    perform leoflow_core.record_attempts(p_lost, p_reason);
    delete from leoflow_core.gate_token as g using unnest(p_lost) as l
    where leoflow_core.by_key(g.run_key, l.run_key) and g.task_idx = l.task_idx and g.map_index = l.map_index;
    with placed as materialized (
        select
            t.run_key, t.task_idx, t.map_index,
            t.state = 'restarting' or not p_counts or t.infra_retries < v_bound as again
        from unnest(p_lost) as l
        join leoflow_core.task_instance as t
            on leoflow_core.by_key(t.run_key, l.run_key) and t.task_idx = l.task_idx and t.map_index = l.map_index
    ),
    written as (
        update leoflow_core.task_instance as t set
            state = case when p.again then 'scheduled' else 'failed' end::leoflow.task_instance_state,
            infra_retries = t.infra_retries + p_counts::int,
            max_tries = case when t.max_tries > 0 then t.max_tries + 1 else 0 end,
            attempt_id = case when p.again then null else t.attempt_id end,
            due_at = null, pid = null, hostname = null,
            scheduled_at = clock_timestamp(), end_date = clock_timestamp(),
            start_date = coalesce(t.start_date, clock_timestamp()),
            ready_key = case when p.again and not t.is_gated then -t.priority end,
            gate_key = case when p.again and t.is_gated then -t.priority end
        from placed as p
        where leoflow_core.by_key(t.run_key, p.run_key) and t.task_idx = p.task_idx and t.map_index = p.map_index
        returning
            t.state, (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref,
            leoflow_core.as_settled(t) as settled
    )
    select
        count(*), array_agg(w.settled) filter (where w.state = 'failed'), array_agg(w.ref) filter (where w.state = 'failed')
    into v_done, v_settled, v_failed from written as w;
    if v_settled is not null then
        perform leoflow_core.request_task_callbacks(v_failed, p_reason);
        perform leoflow_core.propagate(v_settled || leoflow_core.fail_fast(v_failed));
    end if;
    return v_done;
end
$$;
comment on function leoflow_core.place_again(leoflow_core.instance_ref[], text, boolean) is
'Makes instances claimable again whose attempt was lost without a fault of the user''s code.';
