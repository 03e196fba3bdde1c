-- Writes the outcomes of a batch of attempts: states, XComs, retries, everything that follows from them, in one
-- transaction. The arrays are parallel; an attempt is named by its key and its attempt id.
--   p_states       success | failed | skipped | removed | up_for_retry | up_for_reschedule | deferred
--   p_retryable    for failed: whether the user's retries may be spent (default true; false is Airflow's
--                  AirflowFailException); up_for_retry is failed and retryable
--   p_due_ats      for up_for_reschedule: when to run again (null: now). What a deferred one waits for: see defer
--   p_xcom_items   position (from 1) of the attempt an XCom belongs to, with its key, encoded value, mapped length
--   p_outlets      what attempts with outlets say of them (see record_outlets); then call create_asset_runs() after the
--                  commit
--   p_silent       positions (from 1) of attempts whose process ended without a report: nothing of theirs called the
--                  task's callbacks, so they are asked for
--   p_handoff      how many newly ready successors this worker takes over, already claimed. Every so often pass 0 and
--                  claim instead, so that work of other runs and priorities gets its turn.
-- Returns rows: outcome stale (the attempt lost its place: nothing of it was written), ready (attempt is null:
-- something became claimable, call wake_workers() after the commit), handed (an attempt to start).
-- Locks: the worker's row for key share when it takes over work; the instances in key order, then as propagate.
-- Callers retry 40P01. Callers: worker.
create or replace function leoflow_core.finish(
    p_worker_key int,
    p_run_keys bigint[],
    p_task_idxs int[],
    p_map_indexes int[],
    p_attempt_ids uuid[],
    p_states text[],
    p_retryable boolean[] default null,
    p_due_ats timestamptz[] default null,
    p_xcom_items int[] default null,
    p_xcom_keys text[] default null,
    p_xcom_values bytea[] default null,
    p_handoff int default 0,
    p_start boolean default true,
    p_xcom_lengths int[] default null,
    p_outlets jsonb default null,
    p_silent int[] default null
) returns table (outcome text, attempt leoflow_core.claimed_attempt) language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
    v_settled leoflow_core.settled[];
    v_again leoflow_core.instance_ref[];
    v_accepted int[];
    v_queues int[];
    v_tokens leoflow_core.instance_ref[];
    v_failed leoflow_core.instance_ref[];
    v_deferred leoflow_core.instance_ref[];
    v_silent leoflow_core.instance_ref[];
    v_handed leoflow_core.instance_ref[];
    v_ready int := 0;
    v_handoff int := p_handoff;
begin
    if v_handoff > 0 and not leoflow_core.has_lease(p_worker_key) then
        v_handoff := 0;
    end if;
    with input as materialized (
        select i.*
        from unnest(p_run_keys, p_task_idxs, p_map_indexes, p_attempt_ids, p_states, p_retryable, p_due_ats)
            with ordinality as i(run_key, task_idx, map_index, attempt_id, state, retryable, due_at, ord)
        order by i.run_key, i.task_idx, i.map_index -- the order of locks
    ),
    written as (
        update leoflow_core.task_instance as t set
            state = case
                when t.state = 'restarting' then 'scheduled'
                when i.state = 'failed' and t.max_tries > 0 and t.try_number <= t.max_tries
                    and coalesce(i.retryable, true) then 'up_for_retry'
                when i.state = 'up_for_retry' and (t.max_tries = 0 or t.try_number > t.max_tries) then 'failed'
                else i.state
            end::leoflow.task_instance_state,
            end_date = case when i.state <> 'deferred' or t.state = 'restarting' then v_now end,
            start_date = coalesce(t.start_date, v_now),
            due_at = case
                when i.state = 'up_for_reschedule' and t.state <> 'restarting' then coalesce(i.due_at, v_now) end,
            reschedules = t.reschedules + (i.state = 'up_for_reschedule' and t.state <> 'restarting')::int
        from input as i
        where leoflow_core.by_key(t.run_key, i.run_key) and t.task_idx = i.task_idx and t.map_index = i.map_index
            and t.attempt_id = i.attempt_id and t.state in ('running', 'queued', 'restarting')
        returning
            i.ord, t.state as next_state, t.queue_key, t.is_gated,
            (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref,
            leoflow_core.as_settled(t, t.is_gated) as settled
    )
    select
        array_agg(w.ord::int),
        array_agg(w.settled) filter (where w.next_state in ('success', 'failed', 'skipped', 'removed', 'upstream_failed')),
        array_agg(w.ref) filter (where w.next_state in ('up_for_retry', 'scheduled')),
        array_agg(w.ref) filter (where w.is_gated),
        array_agg(distinct w.queue_key),
        array_agg(w.ref) filter (where w.next_state = 'failed'),
        array_agg(w.ref) filter (where w.next_state = 'deferred'),
        array_agg(w.ref) filter (where w.ord = any(p_silent) and w.next_state in ('failed', 'up_for_retry'))
    into v_accepted, v_settled, v_again, v_tokens, v_queues, v_failed, v_deferred, v_silent
    from written as w;

    if v_tokens is not null then
        delete from leoflow_core.gate_token as g using unnest(v_tokens) as k
        where leoflow_core.by_key(g.run_key, k.run_key) and g.task_idx = k.task_idx and g.map_index = k.map_index;
    end if;
    if p_xcom_items is not null and v_accepted is not null then
        perform leoflow_core.store_xcoms(
            p_run_keys, p_task_idxs, p_map_indexes, p_xcom_items, p_xcom_keys, p_xcom_values, p_xcom_lengths,
            case when cardinality(v_accepted) < cardinality(p_attempt_ids) then v_accepted end
        );
    end if;
    if v_silent is not null then
        perform leoflow_core.request_task_callbacks(v_silent, 'the process ended without a report');
    end if;
    if v_again is not null then
        v_ready := leoflow_core.schedule_retries(v_again);
    end if;
    if v_deferred is not null then
        perform leoflow_core.arm_triggers(v_deferred);
    end if;
    if p_outlets is not null and v_settled is not null then
        perform leoflow_core.record_outlets(p_outlets, v_settled);
    end if;
    if v_failed is not null then
        v_settled := v_settled || leoflow_core.fail_fast(v_failed);
    end if;
    if v_settled is not null then
        select p.handed, v_ready + p.ready into v_handed, v_ready
        from leoflow_core.propagate(v_settled, p_worker_key, v_handoff, v_queues, p_start) as p;
    end if;

    if cardinality(p_attempt_ids) > coalesce(cardinality(v_accepted), 0) then
        return query
        select 'stale', jsonb_populate_record(
            null::leoflow_core.claimed_attempt,
            jsonb_build_object('attempt_id', i.attempt_id, 'run_key', i.run_key, 'task_idx', i.task_idx, 'map_index', i.map_index)
        )
        from unnest(p_run_keys, p_task_idxs, p_map_indexes, p_attempt_ids) with ordinality
            as i(run_key, task_idx, map_index, attempt_id, ord)
        where not (i.ord = any(coalesce(v_accepted, '{}')));
    end if;
    if v_ready > 0 then
        return query select 'ready', null::leoflow_core.claimed_attempt;
    end if;
    if v_handed is not null then
        return query select 'handed', a from leoflow_core.describe_attempts(v_handed) as a;
    end if;
end
$$;
comment on function leoflow_core.finish(
    int, bigint[], int[], int[], uuid[], text[], boolean[], timestamptz[], int[], text[], bytea[], int, boolean, int[],
    jsonb, int[]
) is 'Writes the outcomes of a batch of attempts and everything that follows from them.';
