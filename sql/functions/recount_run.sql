-- Computes every counter of a run anew from its instances' states: of undecided instances, of large joins, of the
-- run's end. Used after an operator changed states.
-- Locks: the caller holds all instances of the run and the run. Callers: clear_tasks, mark_tasks, set_run_state.
create or replace function leoflow_core.recount_run(p_run_key bigint) returns void language plpgsql
set jit = off set plan_cache_mode = auto set enable_nestloop = off -- a new version or run is not in the statistics
set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set enable_bitmapscan = on
as $$
#variable_conflict use_column
declare
    v_counted int;
    v_version_key bigint;
    v_mapped int[];
begin
    select r.version_key into v_version_key from leoflow_core.dag_run as r where r.run_key = p_run_key;
    v_mapped := leoflow_core.mapped_tasks(v_version_key);
    delete from leoflow_core.join_counter as j where j.run_key = p_run_key;
    -- from now on every instance counts: an operator may have made a successor final before its predecessor
    update leoflow_core.task_instance as t set is_counted = true where t.run_key = p_run_key and not t.is_counted;

    update leoflow_core.task_instance as t set
        upstreams = c.upstreams, up_success = c.up_success, up_failed = c.up_failed,
        up_upstream_failed = c.up_upstream_failed, up_skipped = c.up_skipped, up_removed = c.up_removed,
        extra_left = c.extra_left
    from leoflow_core.count_for(p_run_key, v_version_key, null, array(
        select (i.run_key, i.task_idx, i.map_index)::leoflow_core.instance_ref from leoflow_core.task_instance as i
        where i.run_key = p_run_key
    )) as c
    where t.run_key = p_run_key and t.task_idx = c.task_idx and t.map_index = c.map_index
        and (t.upstreams, t.up_success, t.up_failed, t.up_upstream_failed, t.up_skipped, t.up_removed, t.extra_left)
            is distinct from (
                c.upstreams, c.up_success, c.up_failed, c.up_upstream_failed, c.up_skipped, c.up_removed, c.extra_left
            );

    insert into leoflow_core.join_counter (
        run_key, task_idx, map_index, slot, waiting, up_success, up_failed, up_upstream_failed, up_skipped, up_removed,
        trigger_rule
    )
    select
        p_run_key, e.downstream_idx, -1, leoflow_core.slot_of(u.task_idx, u.map_index),
        count(*) filter (where not leoflow_core.is_final(u.state)),
        count(*) filter (where u.state = 'success'), count(*) filter (where u.state = 'failed'),
        count(*) filter (where u.state = 'upstream_failed'), count(*) filter (where u.state = 'skipped'),
        count(*) filter (where u.state = 'removed'), d.trigger_rule
    from leoflow_core.task_edge as e
    join leoflow_core.task as d on d.version_key = v_version_key and d.task_idx = e.downstream_idx
    join leoflow_core.task_instance as u on u.run_key = p_run_key and u.task_idx = e.upstream_idx
    where e.version_key = v_version_key and e.is_slotted and e.kind = 'd'
        and (u.state is distinct from 'removed' or u.task_idx <> all(v_mapped))
    group by e.downstream_idx, leoflow_core.slot_of(u.task_idx, u.map_index), d.trigger_rule;

    select count(*) filter (where not leoflow_core.is_final(t.state)) into v_counted
    from leoflow_core.task_instance as t where t.run_key = p_run_key;
    if v_counted = 0 then
        -- nothing is left to count for; a run that has ended would keep these rows for ever
        delete from leoflow_core.join_counter as j where j.run_key = p_run_key;
    elsif v_counted > leoflow_core.slotting_threshold() or v_mapped <> '{}' then
        insert into leoflow_core.join_counter (run_key, task_idx, map_index, slot, waiting, up_failed)
        select
            p_run_key, -1, -1, leoflow_core.slot_of(t.task_idx, t.map_index),
            count(*) filter (where not leoflow_core.is_final(t.state)),
            count(*) filter (where t.is_leaf and t.state in ('failed', 'upstream_failed'))
        from leoflow_core.task_instance as t
        where t.run_key = p_run_key
        group by leoflow_core.slot_of(t.task_idx, t.map_index);
    end if;
    update leoflow_core.dag_run as r set
        remaining = v_counted,
        open_slots = (
            select count(*) from leoflow_core.join_counter as j
            where j.run_key = p_run_key and j.task_idx = -1 and j.waiting > 0
        ),
        failed_leaves = (
            select count(*) from leoflow_core.task_instance as t
            where t.run_key = p_run_key and t.is_leaf and t.state in ('failed', 'upstream_failed')
        ),
        updated_at = clock_timestamp()
    where r.run_key = p_run_key;
end
$$;
comment on function leoflow_core.recount_run(bigint) is 'Computes every counter of a run anew from its instances.';

-- Whether a state is final. Locks: none. Callers: recount_run and everything that acts on unfinished instances.
create or replace function leoflow_core.is_final(p_state leoflow.task_instance_state) returns boolean
language sql immutable parallel safe as $$
    select p_state is not null and p_state in ('success', 'failed', 'skipped', 'upstream_failed', 'removed')
$$;
comment on function leoflow_core.is_final(leoflow.task_instance_state) is 'Whether a state is final.';

-- Locks a run for an operator's action, brought back from history: all its instances in key order, its counters, the
-- run. A finish of the same run either has committed before or has counted nothing yet.
-- Locks: as said. Callers: clear_tasks, mark_tasks, set_run_state, expire_runs, delete_run.
create or replace function leoflow_core.lock_run(p_run_key bigint) returns void language plpgsql as $$
begin
    perform leoflow_core.restore_run(p_run_key);
    perform from leoflow_core.task_instance as t where t.run_key = p_run_key order by t.task_idx, t.map_index for update;
    perform from leoflow_core.join_counter as j where j.run_key = p_run_key
    order by j.task_idx, j.map_index, j.slot for update;
    perform from leoflow_core.dag_run as r where r.run_key = p_run_key for update;
end
$$;
comment on function leoflow_core.lock_run(bigint) is 'Locks a run for an operator''s action.';

-- Ends a running run all of whose instances are final, after an operator changed states.
-- Locks: the caller holds the run. Callers: mark_tasks, clear_tasks.
create or replace function leoflow_core.end_run_if_done(p_run_key bigint) returns void language plpgsql as $$
begin
    if exists (
        select from leoflow_core.dag_run as r where r.run_key = p_run_key and r.state = 'running' and r.remaining = 0
    ) then
        perform leoflow_core.end_runs(array[p_run_key]);
    end if;
end
$$;
comment on function leoflow_core.end_run_if_done(bigint) is 'Ends a running run all of whose instances are final.';
