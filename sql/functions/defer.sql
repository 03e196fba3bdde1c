-- Writes down what attempts are about to wait for, ahead of the `finish` that makes them deferred: two steps, so that
-- `finish` stays narrow. Until then the rows are not armed and nobody runs them; when the second step never comes they
-- mean nothing. Attempts that lost their place are passed over.
-- Locks: the rows of the instances' earlier triggers. Callers: worker, execution API, just before finish.
create or replace function leoflow_core.defer(
    p_run_keys bigint[], p_task_idxs int[], p_map_indexes int[], p_attempt_ids uuid[], p_classpaths text[],
    p_kwargs jsonb[], p_next_methods text[], p_next_kwargs jsonb[], p_timeouts float8[], p_queues text[]
) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
begin
    delete from leoflow_core.trigger as g using unnest(p_run_keys, p_task_idxs, p_map_indexes) as i(run_key, task_idx, map_index)
    where g.run_key = i.run_key and g.task_idx = i.task_idx and g.map_index = i.map_index;
    insert into leoflow_core.trigger (
        run_key, task_idx, map_index, attempt_id, classpath, kwargs, next_method, next_kwargs, timeout_seconds, queue
    )
    select
        i.run_key, i.task_idx, i.map_index, i.attempt_id, i.classpath, i.kwargs, i.next_method, i.next_kwargs,
        i.timeout_seconds, i.queue
    from unnest(
        p_run_keys, p_task_idxs, p_map_indexes, p_attempt_ids, p_classpaths, p_kwargs, p_next_methods, p_next_kwargs,
        p_timeouts, p_queues
    ) as i(
        run_key, task_idx, map_index, attempt_id, classpath, kwargs, next_method, next_kwargs, timeout_seconds, queue
    )
    join leoflow_core.task_instance as t
        on t.run_key = i.run_key and t.task_idx = i.task_idx and t.map_index = i.map_index
    where t.attempt_id = i.attempt_id and t.state in ('running', 'queued');
end
$$;
comment on function leoflow_core.defer(
    bigint[], int[], int[], uuid[], text[], jsonb[], text[], jsonb[], float8[], text[]
) is 'Writes down what attempts are about to wait for.';

-- Makes the triggers of instances that just became deferred available to triggerers, and starts their time-outs.
-- Locks: the triggers' rows; the caller holds the instances. Callers: finish.
create or replace function leoflow_core.arm_triggers(p_instances leoflow_core.instance_ref[]) returns void
language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
begin
    with armed as (
        update leoflow_core.trigger as g set is_armed = true
        from unnest(p_instances) as i
        where g.run_key = i.run_key and g.task_idx = i.task_idx and g.map_index = i.map_index
        returning g.run_key, g.task_idx, g.map_index, g.attempt_id, g.timeout_seconds
    )
    update leoflow_core.task_instance as t set due_at = clock_timestamp() + make_interval(secs => least(a.timeout_seconds, 3e9))
    from armed as a
    where t.run_key = a.run_key and t.task_idx = a.task_idx and t.map_index = a.map_index
        and t.attempt_id = a.attempt_id and a.timeout_seconds is not null;
end
$$;
comment on function leoflow_core.arm_triggers(leoflow_core.instance_ref[]) is
'Makes the triggers of instances that just became deferred available to triggerers.';

-- Slots that deferred instances occupy in a pool; counts only where the pool includes deferred ones.
-- Locks: none. Callers: admit.
create or replace function leoflow_core.deferred_slots(p_pool_key int) returns bigint language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    if not (select p.include_deferred from leoflow_core.pool as p where p.pool_key = p_pool_key) then
        return 0;
    end if;
    return (
        select coalesce(sum(t.pool_slots), 0)
        from leoflow_core.trigger as g
        join leoflow_core.task_instance as t
            on t.run_key = g.run_key and t.task_idx = g.task_idx and t.map_index = g.map_index
        where g.is_armed and t.state = 'deferred' and t.attempt_id = g.attempt_id and t.pool_key = p_pool_key
    );
end
$$;
comment on function leoflow_core.deferred_slots(int) is 'Slots that deferred instances occupy in a pool.';
