-- A running attempt (branch, short circuit) skips named direct or indirect successors that have not started; what
-- follows from that happens at once. p_tasks: task ids. False: the attempt lost its place, nothing changed.
-- Locks: the attempt's instance and the named ones in key order, then as propagate. Callers: execution API.
create or replace function leoflow_core.skip_downstream(
    p_run_key bigint, p_task_idx int, p_map_index int, p_attempt_id uuid, p_task_ids text[], p_map_indexes int[] default null
) returns boolean language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_settled leoflow_core.settled[];
begin
    perform from leoflow_core.task_instance as t
    where t.run_key = p_run_key and (
        (t.task_idx = p_task_idx and t.map_index = p_map_index)
        or t.task_idx in (
            select k.task_idx from leoflow_core.dag_run as r
            join leoflow_core.task as k on k.version_key = r.version_key
            where r.run_key = p_run_key and k.task_id = any(p_task_ids)
        )
    )
    order by t.task_idx, t.map_index
    for update;
    if not leoflow_core.is_live(p_run_key, p_task_idx, p_map_index, p_attempt_id) then
        return false;
    end if;
    -- the run must not end before this attempt does, though its successors are final now
    update leoflow_core.task_instance as t set is_counted = true
    where t.run_key = p_run_key and t.task_idx = p_task_idx and t.map_index = p_map_index and not t.is_counted;
    if found then
        perform leoflow_core.count_one_more(p_run_key, p_task_idx, p_map_index);
    end if;
    with written as (
        update leoflow_core.task_instance as t set
            state = 'skipped', ready_key = null, gate_key = null, due_at = null,
            start_date = clock_timestamp(), end_date = clock_timestamp()
        from leoflow_core.task as k, unnest(p_task_ids, p_map_indexes) as n(task_id, map_index)
        where t.run_key = p_run_key and k.version_key = t.version_key and k.task_idx = t.task_idx
            and k.task_id = n.task_id and (n.map_index is null or n.map_index = t.map_index)
            and (t.state is null or t.state in ('scheduled', 'up_for_retry', 'up_for_reschedule'))
        returning leoflow_core.as_settled(t) as settled
    )
    select array_agg(w.settled) into v_settled from written as w;
    if v_settled is not null then
        perform leoflow_core.propagate(v_settled);
    end if;
    return true;
end
$$;
comment on function leoflow_core.skip_downstream(bigint, int, int, uuid, text[], int[]) is
'A running attempt skips successors that have not started.';

-- Adds one instance to those the end of its run waits for. Locks: the run's row or its slot. Callers: skip_downstream.
create or replace function leoflow_core.count_one_more(p_run_key bigint, p_task_idx int, p_map_index int) returns void
language plpgsql as $$
begin
    perform from leoflow_core.dag_run as r where r.run_key = p_run_key for update;
    if exists (select from leoflow_core.dag_run as r where r.run_key = p_run_key and r.open_slots = 0) then
        update leoflow_core.dag_run as r set remaining = r.remaining + 1 where r.run_key = p_run_key;
        return;
    end if;
    update leoflow_core.join_counter as j set waiting = j.waiting + 1
    where j.run_key = p_run_key and j.task_idx = -1 and j.map_index = -1
        and j.slot = leoflow_core.slot_of(p_task_idx, p_map_index) and j.waiting > 0;
    if not found then
        insert into leoflow_core.join_counter as j (run_key, task_idx, map_index, slot, waiting)
        values (p_run_key, -1, -1, leoflow_core.slot_of(p_task_idx, p_map_index), 1)
        on conflict (run_key, task_idx, map_index, slot) do update set waiting = j.waiting + 1;
        update leoflow_core.dag_run as r set open_slots = r.open_slots + 1 where r.run_key = p_run_key;
    end if;
end
$$;
comment on function leoflow_core.count_one_more(bigint, int, int) is
'Adds one instance to those the end of its run waits for.';
