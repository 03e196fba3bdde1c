-- Gives mapped tasks the instances their maps have now, because the trigger rule of the given instances says run: for
-- the first time, or again after a clear (Airflow, TaskMap.expand_mapped_task and _revise_map_indexes_if_mapped).
-- Returns what reached a final state thereby, the instances to decide again, and how many instances became ready.
-- Locks: the caller holds the given instances; as expand_task, task by task. Callers: propagate.
create or replace function leoflow_core.expand_tasks(
    p_instances leoflow_core.instance_ref[],
    out settled leoflow_core.settled[], out again leoflow_core.instance_ref[], out ready int
) language plpgsql as $$
declare
    v_task record;
    v_done record;
begin
    ready := 0;
    for v_task in
        select i.run_key, i.task_idx, array_agg(i.map_index) as map_indexes from unnest(p_instances) as i
        group by i.run_key, i.task_idx order by i.run_key, i.task_idx
    loop
        select * into v_done from leoflow_core.expand_task(v_task.run_key, v_task.task_idx, v_task.map_indexes);
        settled := settled || v_done.settled;
        again := again || v_done.again;
        ready := ready + v_done.ready;
    end loop;
end
$$;
comment on function leoflow_core.expand_tasks(leoflow_core.instance_ref[]) is
'Gives mapped tasks the instances their maps have now.';

-- The same for one task of one run. A map over nothing skips the task, one over an unknown length is upstream_failed,
-- one over too much failed. Surplus instances become removed, missing ones are added.
-- Locks: unfinished upstream instances inside the mapped group, the task's instances, then as grow_joins.
-- Callers: expand_tasks.
create or replace function leoflow_core.expand_task(
    p_run_key bigint, p_task_idx int, p_map_indexes int[],
    out settled leoflow_core.settled[], out again leoflow_core.instance_ref[], out ready int
) language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = on set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
    v_sample leoflow_core.task_instance;
    v_task leoflow_core.task;
    v_length numeric;
    v_replaced int;
    v_grown leoflow_core.instance_ref[];
    v_recounted leoflow_core.instance_ref[];
    v_settled leoflow_core.settled[];
begin
    ready := 0;
    select t.* into strict v_sample from leoflow_core.task_instance as t
    where t.run_key = p_run_key and t.task_idx = p_task_idx order by t.map_index limit 1;
    select k.* into strict v_task from leoflow_core.task as k
    where k.version_key = v_sample.version_key and k.task_idx = p_task_idx;
    v_length := leoflow_core.map_length(p_run_key, v_task.version_key, v_task.map_inputs);
    if v_task.map_group_id is not null then
        -- one that ends now must find the new instances, or be seen here
        perform from leoflow_core.task_edge as e
        join leoflow_core.task_instance as u on u.run_key = p_run_key and u.task_idx = e.upstream_idx
        where e.version_key = v_task.version_key and e.downstream_idx = p_task_idx and e.is_indexed
            and (u.state is null or u.state not in ('success', 'failed', 'skipped', 'upstream_failed', 'removed'))
        order by u.task_idx, u.map_index
        for update of u;
        if exists (
            select from leoflow_core.task_edge as e
            where e.version_key = v_task.version_key and e.downstream_idx = p_task_idx and e.fan_inputs is not null
        ) then
            perform leoflow_core.write_fans(p_run_key, v_task.version_key, p_task_idx);
            v_recounted := leoflow_core.recount_task(p_run_key, v_task.version_key, p_task_idx);
        end if;
    end if;
    if not coalesce(v_length between 1 and leoflow_core.setting('max_mapped_instances'), false) then
        if v_length = 0 and v_recounted is not null then
            again := v_recounted; -- mapped over nothing, it waits for all instances of its upstreams
        else
            select * into settled, again from leoflow_core.expand_to_none(v_sample, v_task, p_map_indexes, v_length);
        end if;
        return;
    end if;

    settled := leoflow_core.remove_surplus(p_run_key, p_task_idx, v_length::int);
    delete from leoflow_core.task_instance as t
    where t.run_key = p_run_key and t.task_idx = p_task_idx and t.map_index = -1 and t.state is null;
    get diagnostics v_replaced = row_count;
    with kept as (
        update leoflow_core.task_instance as t set expands = false
        where t.run_key = p_run_key and t.task_idx = p_task_idx and t.expands and t.state is null
        returning t.map_index
    )
    select array_agg((p_run_key, p_task_idx, k.map_index)::leoflow_core.instance_ref) into again
    from kept as k
    where k.map_index = any(p_map_indexes) or v_recounted is not null;

    with fresh as materialized (
        select c.* from leoflow_core.count_for(p_run_key, v_task.version_key, array[p_task_idx], array(
            select (p_run_key, p_task_idx, n.map_index)::leoflow_core.instance_ref
            from generate_series(0, v_length::int - 1) as n(map_index)
            where not exists (
                select from leoflow_core.task_instance as t
                where t.run_key = p_run_key and t.task_idx = p_task_idx and t.map_index = n.map_index
            )
        )) as c
    ),
    decided as materialized (
        select f.*, r.ruling as decision
        from fresh as f
        cross join lateral leoflow_core.ruling(
            p_run_key, v_task.version_key, p_task_idx, f.map_index, v_task.trigger_rule, f.upstreams, f.up_success,
            f.up_failed, f.up_upstream_failed, f.up_skipped, f.up_removed, f.extra_left, f.extra_failed, f.extra_skipped
        ) as r
    ),
    written as (
        insert into leoflow_core.task_instance as t (
            run_key, version_key, task_idx, map_index, state, scheduled_at, start_date, end_date, ready_key, gate_key,
            trigger_rule, priority, queue_key, pool_key, pool_slots, max_tries, upstreams, up_success, up_failed,
            up_upstream_failed, up_skipped, up_removed, extra_left, is_leaf, is_counted, feeds_slots, has_downstream,
            is_gated
        )
        select
            p_run_key, v_task.version_key, p_task_idx, d.map_index, d.decision,
            case when d.decision = 'scheduled' then v_now end,
            case when d.decision <> 'scheduled' then v_now end,
            case when d.decision <> 'scheduled' then v_now end,
            case when d.decision = 'scheduled' and not v_sample.is_gated then -v_sample.priority end,
            case when d.decision = 'scheduled' and v_sample.is_gated then -v_sample.priority end,
            v_task.trigger_rule, v_sample.priority, v_sample.queue_key, v_sample.pool_key, v_sample.pool_slots,
            v_task.retries, d.upstreams, d.up_success, d.up_failed, d.up_upstream_failed, d.up_skipped, d.up_removed,
            d.extra_left, v_sample.is_leaf, v_sample.is_counted, v_sample.feeds_slots, v_sample.has_downstream,
            v_sample.is_gated
        from decided as d
        order by d.map_index
        returning
            t.state, (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref,
            case when t.state <> 'scheduled' then row(
                t.run_key, t.version_key, t.task_idx, t.map_index, t.state, t.queue_key, t.pool_key, t.pool_slots,
                t.is_leaf, t.is_counted, t.feeds_slots, t.has_downstream, false
            )::leoflow_core.settled end as settled
    )
    select
        count(*) filter (where w.state = 'scheduled'), array_agg(w.settled) filter (where w.state <> 'scheduled'),
        array_agg(w.ref)
    into ready, v_settled, v_grown
    from written as w;

    settled := settled || v_settled;
    again := again || leoflow_core.grow_joins(v_sample, coalesce(v_grown, '{}'), v_replaced);
end
$$;
comment on function leoflow_core.expand_task(bigint, int, int[]) is
'Gives a mapped task of one run the instances its map has now.';

-- Ends or releases instances whose map gives no instances (p_length 0), cannot be known (null), or is too large. Of a
-- task that had instances and is mapped over nothing now the first is skipped and the others are removed, so that its
-- successors see what they would see in a new run.
-- Locks: the task's instances, then as remove_surplus. Callers: expand_task.
create or replace function leoflow_core.expand_to_none(
    p_sample leoflow_core.task_instance, p_task leoflow_core.task, p_map_indexes int[], p_length numeric,
    out settled leoflow_core.settled[], out again leoflow_core.instance_ref[]
) language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_text text;
    v_first int;
    v_settled leoflow_core.settled[];
begin
    if p_length = 0 then
        select min(t.map_index) into v_first from leoflow_core.task_instance as t
        where t.run_key = p_sample.run_key and t.task_idx = p_sample.task_idx
        having bool_and(t.state is null);
        settled := leoflow_core.remove_surplus(p_sample.run_key, p_sample.task_idx, coalesce(v_first + 1, 0));
        delete from leoflow_core.xcom as x
        where x.run_key = p_sample.run_key and x.task_idx = p_sample.task_idx and x.map_index = v_first;
    end if;
    with written as (
        update leoflow_core.task_instance as t set
            state = case
                when p_length = 0 then 'skipped'::leoflow.task_instance_state
                when p_length is not null then 'failed'::leoflow.task_instance_state
                when t.map_index = -1 then 'upstream_failed'::leoflow.task_instance_state end,
            expands = false,
            start_date = case when p_length is not null or t.map_index = -1 then clock_timestamp() end,
            end_date = case when p_length is not null or t.map_index = -1 then clock_timestamp() end
        where t.run_key = p_sample.run_key and t.task_idx = p_sample.task_idx and t.state is null
            and t.map_index = any(case when p_length = 0 then array[v_first] else p_map_indexes end)
        returning
            t.state, (t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref as ref,
            row(
                t.run_key, t.version_key, t.task_idx, t.map_index, t.state, t.queue_key, t.pool_key, t.pool_slots,
                t.is_leaf, t.is_counted, t.feeds_slots, t.has_downstream, false
            )::leoflow_core.settled as settled
    )
    select array_agg(w.settled) filter (where w.state is not null), array_agg(w.ref) filter (where w.state is null)
    into v_settled, again
    from written as w;
    settled := settled || v_settled;
    v_text := case
        when p_length is null then 'The task cannot be expanded: the length of what it is mapped over is not known.'
        when p_length > 0 then format(
            'The task cannot be expanded: its map has %s values, more than max_mapped_instances (%s) allows.',
            p_length, leoflow_core.setting('max_mapped_instances')
        ) end;
    if v_text is not null and settled is not null then
        perform leoflow_core.append_log(
            array[p_sample.run_key], array[p_sample.task_idx], array[p_sample.map_index],
            array[greatest(p_sample.try_number, 1)],
            array[jsonb_build_object(
                'timestamp', leoflow_core.isoformat(clock_timestamp()), 'level', 'error', 'event', v_text,
                'logger', 'leoflow.engine'
            )::text || E'\n']
        );
    end if;
end
$$;
comment on function leoflow_core.expand_to_none(leoflow_core.task_instance, leoflow_core.task, int[], numeric) is
'Ends or releases instances whose map gives no instances.';

-- Makes waiting instances removed whose map index is beyond the map's length, and drops their XComs. What they settle
-- has no state: they are no upstreams any more. (Airflow goes on counting them, and a run whose map shrank deadlocks.)
-- Locks: those instances, then their successors in key order. Callers: expand_task, expand_to_none.
create or replace function leoflow_core.remove_surplus(p_run_key bigint, p_task_idx int, p_length int)
returns leoflow_core.settled[] language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_settled leoflow_core.settled[];
begin
    with written as (
        update leoflow_core.task_instance as t set
            state = 'removed', expands = false, start_date = clock_timestamp(), end_date = clock_timestamp()
        where t.run_key = p_run_key and t.task_idx = p_task_idx and t.map_index >= p_length and t.state is null
        returning row(
            t.run_key, t.version_key, t.task_idx, t.map_index, null, t.queue_key, t.pool_key, t.pool_slots,
            t.is_leaf, t.is_counted, t.feeds_slots, t.has_downstream, false
        )::leoflow_core.settled as settled
    )
    select array_agg(w.settled) into v_settled from written as w;
    if v_settled is not null then
        perform leoflow_core.shrink_joins(v_settled);
        delete from leoflow_core.xcom as x
        where x.run_key = p_run_key and x.task_idx = p_task_idx and x.map_index >= p_length;
    end if;
    return v_settled;
end
$$;
comment on function leoflow_core.remove_surplus(bigint, int, int) is
'Makes waiting instances removed whose map index is beyond the map''s length.';
