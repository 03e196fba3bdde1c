-- The part of claim that deals with limits: claims instances that wait at a gate (gate_key) while their pool, their
-- run's max_active_tasks and their task's limits leave room, and writes one gate_token each. One admission at a time,
-- so that counting tokens is exact; it walks groups (pool, queue, priority, run), the highest priority and oldest run
-- first, and jumps over full ones. What needs more slots than are free is overtaken, as in Airflow, but not for ever.
-- p_until: only those with at most this gate_key, so of at least this priority.
-- Locks: the admission advisory lock until the end of the transaction, then instances with SKIP LOCKED.
-- Callers: claim.
create or replace function leoflow_core.admit(
    p_worker_key int, p_limit int, p_queue_keys int[], p_start boolean, p_watermark bigint default 0,
    p_until int default null
) returns leoflow_core.instance_ref[] language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_until int := coalesce(p_until, 2147483647);
    v_pools int[];
    v_queues int[];
    v_free bigint[];
    v_gates int[];
    v_runs bigint[];
    v_at int;
    v_gate int;
    v_run bigint;
    v_next record;
    v_room bigint;
    v_may_run boolean;
    v_taken record;
    v_claimed leoflow_core.instance_ref[] := '{}';
begin
    perform pg_advisory_xact_lock(leoflow_core.lock_class('admit'), 0);
    -- where something waits, and the best of it
    select
        array_agg(w.pool_key), array_agg(w.queue_key), array_agg(leoflow_core.free_slots(w.pool_key)),
        array_agg(head.gate_key), array_agg(head.run_key)
    into v_pools, v_queues, v_free, v_gates, v_runs
    from (
        select distinct b.pool_key, b.queue_key from leoflow_core.priority_band as b
        where b.queue_key = any(p_queue_keys)
    ) as w
    cross join lateral leoflow_core.next_gate(w.pool_key, w.queue_key, p_watermark) as head
    where head.gate_key is not null;
    update leoflow_core.pool as p set is_overdrawn = false
    from unnest(v_pools, v_free) as f(pool_key, free)
    where p.pool_key = f.pool_key and p.is_overdrawn and f.free >= 0;
    while cardinality(v_claimed) < p_limit loop
        select p.at, p.gate, p.run into v_at, v_gate, v_run
        from unnest(v_free, v_gates, v_runs) with ordinality as p(free, gate, run, at)
        where p.free > 0 and p.gate <= v_until
        order by p.gate, p.run limit 1;
        exit when not found;
        select n.gate_key, n.run_key into v_next
        from leoflow_core.next_gate(v_pools[v_at], v_queues[v_at], p_watermark, v_gate, v_run) as n;
        v_gates[v_at] := v_next.gate_key;
        v_runs[v_at] := v_next.run_key;
        select
            not d.is_paused and r.state = 'running',
            case when not r.is_gated then 2147483647 else v.max_active_tasks - (
                select count(*) from leoflow_core.gate_token as g where g.run_key = r.run_key
            ) end
        into v_may_run, v_room
        from leoflow_core.dag_run as r
        join leoflow_core.dag_version as v on v.version_key = r.version_key
        join leoflow_core.dag as d on d.dag_key = r.dag_key
        where r.run_key = v_run;
        if not v_may_run then
            -- set_paused and friends bring these back
            update leoflow_core.task_instance as t set gate_key = null
            where t.queue_key = v_queues[v_at] and t.pool_key = v_pools[v_at] and t.gate_key = v_gate
                and t.run_key = v_run;
            perform leoflow_core.recheck_held(array[v_run]);
            continue;
        end if;
        v_room := least(v_room, p_limit - cardinality(v_claimed));
        while v_room > 0 and v_free[v_at] > 0 loop
            select * into v_taken from leoflow_core.admit_group(
                p_worker_key, v_pools[v_at], v_queues[v_at], v_gate, v_run, least(v_room, v_free[v_at])::int,
                v_free[v_at], p_start
            );
            -- what did not fit, or was too much of one task, may have hidden what does
            exit when v_taken.claimed is null;
            v_claimed := v_claimed || v_taken.claimed;
            v_room := v_room - cardinality(v_taken.claimed);
            v_free := array(
                select case when f.pool_key = v_pools[v_at] then f.free - v_taken.slots else f.free end
                from unnest(v_pools, v_free) with ordinality as f(pool_key, free, at) order by f.at
            );
        end loop;
        if v_room > 0 and v_free[v_at] > 0
            and leoflow_core.is_overtaken(v_pools[v_at], v_queues[v_at], v_gate, v_run, v_free[v_at]) then
            v_free := array(
                select case when f.pool_key = v_pools[v_at] then 0 else f.free end
                from unnest(v_pools, v_free) with ordinality as f(pool_key, free, at) order by f.at
            );
        end if;
    end loop;
    return v_claimed;
end
$$;
comment on function leoflow_core.admit(int, int, int[], boolean, bigint, int) is 'Claims instances that wait for a limit.';

-- The group of instances (a gate_key and a run) that follows another one in a pool and queue, in the order in which admit
-- walks them; null: none. Like claim it looks into each band of priorities from the low watermark on.
-- Locks: none. Callers: admit.
create or replace function leoflow_core.next_gate(
    p_pool_key int, p_queue_key int, p_watermark bigint, p_gate_key int default -2147483648, p_run_key bigint default 0,
    out gate_key int, out run_key bigint
) language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
begin
    select t.gate_key, t.run_key into gate_key, run_key
    from leoflow_core.task_instance as t
    where t.queue_key = p_queue_key and t.pool_key = p_pool_key and t.gate_key = p_gate_key
        and t.run_key > greatest(p_run_key, p_watermark - 1)
    order by t.run_key, t.task_idx, t.map_index limit 1;
    if found then
        return;
    end if;
    select head.gate_key, head.run_key into gate_key, run_key
    from (
        select b.first_key, b.last_key from leoflow_core.priority_band as b
        where b.queue_key = p_queue_key and b.pool_key = p_pool_key and b.last_key > p_gate_key
        order by b.first_key
    ) as b
    cross join lateral (
        select t.gate_key, t.run_key from leoflow_core.task_instance as t
        where t.queue_key = p_queue_key and t.pool_key = p_pool_key
            and t.gate_key > p_gate_key and t.gate_key between b.first_key and b.last_key
            and t.run_key >= p_watermark
        order by t.gate_key, t.run_key, t.task_idx, t.map_index limit 1
    ) as head
    limit 1;
end
$$;
comment on function leoflow_core.next_gate(int, int, bigint, int, bigint) is
'The group of instances that follows another one in a pool and queue.';

-- Whether a group has an instance that has waited too long for more slots than are free (overtaking_seconds), and waits
-- for nothing else: what comes after it in its pool must wait too, or it might wait for ever. One that needs more slots
-- than its pool has holds nobody up. It plans as admit does, so it says nothing of that; the setting is read where there is
-- such an instance only. Locks: none. Callers: admit.
create or replace function leoflow_core.is_overtaken(
    p_pool_key int, p_queue_key int, p_gate_key int, p_run_key bigint, p_free bigint
) returns boolean language plpgsql stable as $$
begin
    return exists (
        select from leoflow_core.task_instance as t
        join leoflow_core.pool as p on p.pool_key = t.pool_key
        where t.queue_key = p_queue_key and t.pool_key = p_pool_key and t.gate_key = p_gate_key and t.run_key = p_run_key
            and t.pool_slots > p_free and t.pool_slots <= p.slots
            and t.scheduled_at < clock_timestamp() - make_interval(
                secs => (select leoflow_core.setting('overtaking_seconds'))::float8
            )
            and leoflow_core.task_has_room(t.run_key, t.version_key, t.task_idx)
    );
end
$$;
comment on function leoflow_core.is_overtaken(int, int, int, bigint, bigint) is
'Whether a group has an instance that has waited too long for more slots than are free.';

-- How many slots of a pool are free: less than none where it got fewer than are in use. Tokens belong to unfinished runs,
-- none of which is below the low watermark. Exact only under the admission lock. Locks: none. Callers: admit, pool_changed.
create or replace function leoflow_core.free_slots(p_pool_key int) returns bigint language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    return (
        select case when p.slots < 0 then 2147483647 else p.slots - (
            select coalesce(sum(g.pool_slots), 0) from leoflow_core.gate_token as g
            where g.pool_key = p.pool_key and g.pool_slots > 0
                and g.run_key >= (select w.run_key from leoflow_core.low_watermark as w)
        ) - leoflow_core.deferred_slots(p.pool_key) end
        from leoflow_core.pool as p where p.pool_key = p_pool_key
    );
end
$$;
comment on function leoflow_core.free_slots(int) is 'How many slots of a pool are free.';

-- Claims up to p_limit instances of one group that fit into p_free slots and their tasks' own limits, and says how
-- many slots they take; claimed is null when none fits.
-- Locks: the caller holds the admission lock; instances with SKIP LOCKED. Callers: admit.
create or replace function leoflow_core.admit_group(
    p_worker_key int, p_pool_key int, p_queue_key int, p_gate_key int, p_run_key bigint, p_limit int, p_free bigint,
    p_start boolean, out claimed leoflow_core.instance_ref[], out slots bigint
) language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
    v_patience interval;
    v_full int[];
    v_stale leoflow_core.instance_ref[];
begin
    if not p_start then
        v_patience := make_interval(secs => leoflow_core.setting('queued_timeout_seconds')::float8);
    end if;
    -- asked once per task, not for each of its ten thousand instances
    v_full := array(
        select k.task_idx
        from leoflow_core.dag_run as r
        join leoflow_core.task as k on k.version_key = r.version_key
        where r.run_key = p_run_key and k.map_inputs is not null
            and (k.max_active_tis_per_dag is not null or k.max_active_tis_per_dagrun is not null)
            and not leoflow_core.task_has_room(p_run_key, k.version_key, k.task_idx)
    );
    with waiting as materialized (
        select
            t.run_key, t.task_idx, t.map_index, t.pool_slots,
            k.max_active_tis_per_dag is not null or k.max_active_tis_per_dagrun is not null as is_limited
        from leoflow_core.task_instance as t
        join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
        where t.queue_key = p_queue_key and t.pool_key = p_pool_key and t.gate_key = p_gate_key
            and t.run_key = p_run_key and t.pool_slots <= p_free and t.task_idx <> all(v_full)
            and case
                when k.max_active_tis_per_dag is null and k.max_active_tis_per_dagrun is null
                    and not k.depends_on_past and not k.wait_for_downstream then true
                when k.map_inputs is not null and not k.depends_on_past and not k.wait_for_downstream then true
                else leoflow_core.task_has_room(t.run_key, t.version_key, t.task_idx) end
        order by t.task_idx, t.map_index
        limit p_limit
        for update of t skip locked
    ),
    fitting as materialized (
        select w.*
        from (
            select
                w.*, sum(w.pool_slots) over (order by w.task_idx, w.map_index) as total,
                row_number() over (partition by w.task_idx order by w.map_index) as place
            from waiting as w
        ) as w
        where w.total <= p_free and (
            w.place = 1 or not w.is_limited
            or leoflow_core.task_has_room(w.run_key, null, w.task_idx, w.place::int)
        )
    ),
    tokens as (
        insert into leoflow_core.gate_token (run_key, task_idx, map_index, pool_key, pool_slots)
        select f.run_key, f.task_idx, f.map_index, p_pool_key, f.pool_slots from fitting as f
    ),
    taken as (
        update leoflow_core.task_instance as t set
            gate_key = null,
            state = case when p_start then 'running' else 'queued' end::leoflow.task_instance_state,
            attempt_id = leoflow_core.uuid7(),
            worker_key = p_worker_key,
            try_number = t.try_number + (not t.is_resumed)::int,
            queued_at = v_now,
            start_date = case when t.is_resumed then t.start_date when p_start then v_now end,
            end_date = null,
            due_at = case when not p_start then v_now + v_patience end,
            is_resumed = false
        from fitting as f
        where leoflow_core.by_key(t.run_key, f.run_key) and t.task_idx = f.task_idx and t.map_index = f.map_index
        returning t.run_key, t.task_idx, t.map_index, t.pool_slots, t.try_number, t.reschedules
    )
    select
        array_agg((t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref order by t.task_idx, t.map_index),
        sum(t.pool_slots),
        array_agg((t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref)
            filter (where t.try_number > 1 or t.reschedules > 0)
    into claimed, slots, v_stale
    from taken as t;
    if v_stale is not null then
        perform leoflow_core.clear_attempt_output(v_stale);
    end if;
end
$$;
comment on function leoflow_core.admit_group(int, int, int, int, bigint, int, bigint, boolean) is
'Claims instances of one group that fit into their limits.';
