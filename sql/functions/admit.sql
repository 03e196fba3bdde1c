-- The part of claim that deals with limits: claims instances that wait at a gate (gate_key) while their pool, their
-- run's max_active_tasks and their task's limits leave room, and writes one gate_token each. One admission at a time,
-- so that counting tokens is exact; it walks groups (pool, priority, run) and jumps over full ones.
-- Locks: the admission advisory lock until the end of the transaction, then instances with SKIP LOCKED.
-- Callers: claim.
create or replace function leoflow_core.admit(
    p_worker_key int, p_limit int, p_queue_keys int[], p_start boolean, p_watermark bigint default 0
) returns leoflow_core.instance_ref[] language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_now timestamptz;
    v_pool record;
    v_gate int;
    v_run bigint;
    v_free int;
    v_room int;
    v_may_run boolean;
    v_limited boolean;
    v_found int;
    v_used int;
    v_batch leoflow_core.instance_ref[];
    v_stale leoflow_core.instance_ref[];
    v_patience interval;
    v_claimed leoflow_core.instance_ref[] := '{}';
begin
    if not p_start then
        v_patience := make_interval(secs => leoflow_core.setting('queued_timeout_seconds')::float8);
    end if;
    perform pg_advisory_xact_lock(leoflow_core.lock_class('admit'), 0);
    v_now := clock_timestamp();
    for v_pool in
        select p.pool_key, q.queue_key, p.slots
        from leoflow_core.pool as p
        cross join unnest(p_queue_keys) as q(queue_key)
        cross join lateral (
            select t.gate_key from leoflow_core.task_instance as t
            where t.queue_key = q.queue_key and t.pool_key = p.pool_key and t.gate_key is not null
                and t.run_key >= p_watermark
            order by t.gate_key, t.run_key, t.task_idx, t.map_index limit 1
        ) as head
        order by head.gate_key
    loop
        select case when v_pool.slots < 0 then 2147483647 else v_pool.slots - coalesce(sum(g.pool_slots), 0)
            - leoflow_core.deferred_slots(v_pool.pool_key) end
        into v_free from leoflow_core.gate_token as g where g.pool_key = v_pool.pool_key;
        v_gate := -2147483648;
        v_run := 0;
        while v_free > 0 and cardinality(v_claimed) < p_limit loop
            select t.gate_key, t.run_key into v_gate, v_run
            from leoflow_core.task_instance as t
            where t.queue_key = v_pool.queue_key and t.pool_key = v_pool.pool_key and t.gate_key is not null
                and t.run_key >= p_watermark and (t.gate_key, t.run_key) > (v_gate, v_run)
            order by t.gate_key, t.run_key, t.task_idx, t.map_index limit 1;
            exit when not found;
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
                where t.queue_key = v_pool.queue_key and t.pool_key = v_pool.pool_key and t.gate_key = v_gate
                    and t.run_key = v_run;
                perform leoflow_core.recheck_held(array[v_run]);
                continue;
            end if;
            continue when v_room <= 0;
            v_room := least(v_room, p_limit - cardinality(v_claimed), v_free);
            with waiting as materialized (
                select t.run_key, t.task_idx, t.map_index, t.pool_slots
                from leoflow_core.task_instance as t
                join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
                where t.queue_key = v_pool.queue_key and t.pool_key = v_pool.pool_key and t.gate_key = v_gate
                    and t.run_key = v_run and t.pool_slots <= v_free
                    and case
                        when k.max_active_tis_per_dag is null and k.max_active_tis_per_dagrun is null
                            and not k.depends_on_past and not k.wait_for_downstream then true
                        else leoflow_core.task_has_room(t.run_key, t.version_key, t.task_idx) end
                order by t.task_idx, t.map_index
                limit v_room
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
                where w.total <= v_free
                    and (w.place = 1 or leoflow_core.task_has_room(w.run_key, null, w.task_idx, w.place::int))
            ),
            tokens as (
                insert into leoflow_core.gate_token (run_key, task_idx, map_index, pool_key, pool_slots)
                select f.run_key, f.task_idx, f.map_index, v_pool.pool_key, f.pool_slots from fitting as f
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
                where t.run_key = f.run_key and t.task_idx = f.task_idx and t.map_index = f.map_index
                returning t.run_key, t.task_idx, t.map_index, t.pool_slots, t.try_number, t.reschedules
            )
            select
                coalesce(sum(t.pool_slots), 0),
                array_agg((t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref order by t.task_idx, t.map_index),
                array_agg((t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref)
                    filter (where t.try_number > 1 or t.reschedules > 0)
            into v_used, v_batch, v_stale
            from taken as t;
            v_free := v_free - v_used;
            v_claimed := v_claimed || coalesce(v_batch, '{}');
            if v_stale is not null then
                perform leoflow_core.clear_attempt_output(v_stale);
            end if;
        end loop;
    end loop;
    return v_claimed;
end
$$;
comment on function leoflow_core.admit(int, int, int[], boolean, bigint) is 'Claims instances that wait for a limit.';
