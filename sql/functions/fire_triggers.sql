-- Says what came of triggers. The arrays are parallel; a trigger that this triggerer does not hold any more, or whose
-- instance does not wait for it any more, changes nothing.
--   p_outcomes     event: the instance goes on with next_method, the payload added to its arguments as `event`
--                  failed_trigger: it goes on with `__fail__`, its arguments are the payload (Airflow, submit_failure)
--                  success | failed | skipped: it ends so, without a worker and without a retry (Airflow's
--                  BaseTaskEndEvent)
--   p_xcom_items   position (from 1) of the trigger an XCom belongs to, with its key and encoded value
-- Returns how many instances are claimable now; call wake_workers() after the commit if there are any.
-- Locks: the instances in key order, then as propagate. Callers retry 40P01. Callers: triggerer.
create or replace function leoflow_core.fire_triggers(
    p_triggerer_key int, p_trigger_keys bigint[], p_outcomes text[], p_payloads jsonb[],
    p_xcom_items int[] default null, p_xcom_keys text[] default null, p_xcom_values bytea[] default null
) returns int language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_fired leoflow_core.trigger[];
    v_items int[];
    v_settled leoflow_core.settled[];
    v_failed leoflow_core.instance_ref[];
    v_ready int := 0;
begin
    perform from leoflow_core.trigger as g
    join leoflow_core.task_instance as t
        on t.run_key = g.run_key and t.task_idx = g.task_idx and t.map_index = g.map_index
    where g.trigger_key = any(p_trigger_keys)
    order by t.run_key, t.task_idx, t.map_index
    for update of t;
    with gone as (
        delete from leoflow_core.trigger as g
        where g.trigger_key = any(p_trigger_keys) and g.triggerer_key = p_triggerer_key
        returning g as fired
    )
    select array_agg(g.fired order by i.ord), array_agg(i.ord::int order by i.ord)
    into v_fired, v_items
    from unnest(p_trigger_keys) with ordinality as i(trigger_key, ord)
    join gone as g on (g.fired).trigger_key = i.trigger_key
    join leoflow_core.task_instance as t
        on t.run_key = (g.fired).run_key and t.task_idx = (g.fired).task_idx and t.map_index = (g.fired).map_index
    where t.state = 'deferred' and t.attempt_id = (g.fired).attempt_id;
    if v_fired is null then
        return 0;
    end if;

    select leoflow_core.resume_deferred(
        array_agg((f.run_key, f.task_idx, f.map_index)::leoflow_core.instance_ref),
        array_agg(case when p_outcomes[f.item] = 'event' then f.next_method else '__fail__' end),
        array_agg(case
            when p_outcomes[f.item] = 'event' then f.next_kwargs || jsonb_build_object('event', p_payloads[f.item])
            else p_payloads[f.item] end)
    ) into v_ready
    from (
        select g.*, v_items[g.ordinality] as item from unnest(v_fired) with ordinality as g
    ) as f
    where p_outcomes[f.item] in ('event', 'failed_trigger');

    with ended as materialized (
        select g.run_key, g.task_idx, g.map_index, p_outcomes[v_items[g.ordinality]] as state
        from unnest(v_fired) with ordinality as g
        where p_outcomes[v_items[g.ordinality]] in ('success', 'failed', 'skipped')
    ),
    written as (
        update leoflow_core.task_instance as t set
            state = e.state::leoflow.task_instance_state, due_at = null, end_date = clock_timestamp()
        from ended as e
        where t.run_key = e.run_key and t.task_idx = e.task_idx and t.map_index = e.map_index
        returning
            t.state, (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref,
            leoflow_core.as_settled(t) as settled
    )
    select array_agg(w.settled), array_agg(w.ref) filter (where w.state = 'failed') into v_settled, v_failed
    from written as w;
    if v_settled is null then
        return coalesce(v_ready, 0);
    end if;
    insert into leoflow_core.xcom as x (run_key, task_idx, map_index, key, value)
    select g.run_key, g.task_idx, g.map_index, i.key, i.value
    from unnest(p_xcom_items, p_xcom_keys, p_xcom_values) as i(item, key, value)
    join unnest(v_fired) with ordinality as g on v_items[g.ordinality] = i.item
    on conflict (run_key, task_idx, map_index, key) do update set value = excluded.value, created_at = excluded.created_at;
    if v_failed is not null then
        v_settled := v_settled || leoflow_core.fail_fast(v_failed);
    end if;
    return coalesce(v_ready, 0) + (select p.ready from leoflow_core.propagate(v_settled) as p);
end
$$;
comment on function leoflow_core.fire_triggers(int, bigint[], text[], jsonb[], int[], text[], bytea[]) is
'Says what came of triggers: their instances go on or end.';

-- Makes deferred instances claimable again with what their next attempt is to call; the try number stays.
-- Returns how many. Locks: the caller holds the instances; rows of their extras. Callers: fire_triggers, expire_triggers.
create or replace function leoflow_core.resume_deferred(
    p_instances leoflow_core.instance_ref[], p_methods text[], p_kwargs jsonb[]
) returns int language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_done int;
begin
    if p_instances is null then
        return 0;
    end if;
    insert into leoflow_core.task_instance_extra (run_key, task_idx, map_index, next_method, next_kwargs)
    select i.run_key, i.task_idx, i.map_index, m.next_method, m.next_kwargs
    from unnest(p_instances) with ordinality as i(run_key, task_idx, map_index, ord)
    join unnest(p_methods, p_kwargs) with ordinality as m(next_method, next_kwargs, ord) on m.ord = i.ord
    order by i.run_key, i.task_idx, i.map_index
    on conflict (run_key, task_idx, map_index) do update set
        next_method = excluded.next_method, next_kwargs = excluded.next_kwargs;
    with moved as (
        update leoflow_core.task_instance as t set
            state = 'scheduled', due_at = null, scheduled_at = clock_timestamp(), attempt_id = null, is_resumed = true,
            ready_key = case when not t.is_gated then -t.priority end,
            gate_key = case when t.is_gated then -t.priority end
        from unnest(p_instances) as i
        where t.run_key = i.run_key and t.task_idx = i.task_idx and t.map_index = i.map_index
        returning 1
    )
    select count(*) into v_done from moved;
    return v_done;
end
$$;
comment on function leoflow_core.resume_deferred(leoflow_core.instance_ref[], text[], jsonb[]) is
'Makes deferred instances claimable again with what their next attempt is to call.';

-- Resumes deferred instances whose trigger did not fire in time: they fail with Airflow's TaskDeferralTimeout, in a
-- worker, so that their callbacks and retries apply. Returns how many.
-- Locks: the instances with SKIP LOCKED, their triggers. Callers: promote_due.
create or replace function leoflow_core.expire_triggers(p_limit int) returns int language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_due leoflow_core.instance_ref[];
begin
    select array_agg(d.ref) into v_due from (
        select (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref
        from leoflow_core.task_instance as t
        where t.due_at <= clock_timestamp() and t.state = 'deferred'
        order by t.due_at limit p_limit
        for update skip locked
    ) as d;
    if v_due is null then
        return 0;
    end if;
    delete from leoflow_core.trigger as g using unnest(v_due) as d
    where g.run_key = d.run_key and g.task_idx = d.task_idx and g.map_index = d.map_index;
    return leoflow_core.resume_deferred(
        v_due, array_fill('__fail__'::text, array[cardinality(v_due)]),
        array_fill('{"error": "Trigger timeout"}'::jsonb, array[cardinality(v_due)])
    );
end
$$;
comment on function leoflow_core.expire_triggers(int) is 'Resumes deferred instances whose trigger did not fire in time.';

-- The next attempts of instances start from the beginning again: what a trigger told them is forgotten.
-- Locks: rows of their extras. Callers: schedule_retries, promote_due.
create or replace function leoflow_core.forget_resumption(p_instances leoflow_core.instance_ref[]) returns void
language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    update leoflow_core.task_instance_extra as x set next_method = null, next_kwargs = null
    from unnest(p_instances) as i
    where x.run_key = i.run_key and x.task_idx = i.task_idx and x.map_index = i.map_index and x.next_method is not null;
end
$$;
comment on function leoflow_core.forget_resumption(leoflow_core.instance_ref[]) is
'The next attempts of instances start from the beginning again.';
