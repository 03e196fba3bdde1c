-- Counts final upstreams in the slots of their large joins; a mapped task's instances share its slots (map_index -1).
-- Returns the joins whose rows must be looked at: a slot
-- closed, or a slot saw the first state of a kind that can decide the join's rule early. Those rows are locked here,
-- so that whoever closes the last slot sees all others (decision 0002).
-- Locks: slots in key order, then the joins' instances in key order. Callers: propagate.
create or replace function leoflow_core.count_in_slots(p_front leoflow_core.settled[])
returns leoflow_core.instance_ref[] language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_touched leoflow_core.instance_ref[];
begin
    with agg as materialized (
        select
            f.run_key, e.downstream_idx as task_idx, -1 as map_index, leoflow_core.slot_of(f.task_idx, f.map_index) as slot,
            count(*)::int as n,
            count(*) filter (where f.state = 'success')::int as n_success,
            count(*) filter (where f.state = 'failed')::int as n_failed,
            count(*) filter (where f.state = 'upstream_failed')::int as n_upstream_failed,
            count(*) filter (where f.state = 'skipped')::int as n_skipped,
            count(*) filter (where f.state = 'removed')::int as n_removed
        from unnest(p_front) as f
        join leoflow_core.task_edge as e on e.version_key = f.version_key and e.upstream_idx = f.task_idx
        where e.is_slotted
        group by f.run_key, e.downstream_idx, leoflow_core.slot_of(f.task_idx, f.map_index)
        order by f.run_key, e.downstream_idx, leoflow_core.slot_of(f.task_idx, f.map_index) -- the order of locks
    ),
    counted as (
        update leoflow_core.join_counter as j set
            waiting = j.waiting - a.n,
            up_success = j.up_success + a.n_success,
            up_failed = j.up_failed + a.n_failed,
            up_upstream_failed = j.up_upstream_failed + a.n_upstream_failed,
            up_skipped = j.up_skipped + a.n_skipped,
            up_removed = j.up_removed + a.n_removed
        from agg as a
        where leoflow_core.by_key(j.run_key, a.run_key) and j.task_idx = a.task_idx and j.map_index = a.map_index and j.slot = a.slot
        returning
            j.run_key, j.task_idx, j.map_index,
            j.waiting <= 0
            or (a.n_failed + a.n_upstream_failed > 0
                and j.up_failed + j.up_upstream_failed = a.n_failed + a.n_upstream_failed)
            or (a.n_skipped > 0 and j.up_skipped = a.n_skipped)
            or (a.n_failed > 0 and j.up_failed = a.n_failed)
            or (a.n_success > 0 and j.up_success = a.n_success
                and j.trigger_rule in ('one_success', 'one_done', 'all_failed', 'all_skipped')) as touches
    )
    select array_agg(distinct (c.run_key, c.task_idx, c.map_index)::leoflow_core.instance_ref) filter (where c.touches)
    into v_touched from counted as c;
    if v_touched is not null then
        perform from unnest(v_touched) as s
        join leoflow_core.task_instance as t
            on leoflow_core.by_key(t.run_key, s.run_key) and t.task_idx = s.task_idx
        where t.state is null
        order by s.run_key, s.task_idx, t.map_index
        for update of t;
    end if;
    return v_touched;
end
$$;
comment on function leoflow_core.count_in_slots(leoflow_core.settled[]) is
'Counts final upstreams in the slots of their large joins.';
