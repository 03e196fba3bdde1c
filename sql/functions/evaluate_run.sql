-- Decides every undecided instance of a running run from its counters: makes ready what may run, settles what is
-- skipped or upstream_failed, and propagates that. What an earlier branch does not follow is skipped again, whatever its
-- trigger rule. Returns how many became ready.
-- Locks: all instances of the run in key order, then the run. Callers: start_runs, clear_tasks, mark_tasks.
create or replace function leoflow_core.evaluate_run(p_run_key bigint) returns int language plpgsql
set jit = off set plan_cache_mode = auto set enable_nestloop = off -- a new version or run is not in the statistics
set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set enable_bitmapscan = on
as $$
declare
    v_skipped leoflow_core.settled[];
    v_settled leoflow_core.settled[];
    v_expanding leoflow_core.instance_ref[];
    v_ready int;
    v_more int := 0;
begin
    perform from leoflow_core.task_instance as t where t.run_key = p_run_key
    order by t.task_idx, t.map_index for update;
    v_skipped := leoflow_core.skip_again(p_run_key);
    with d as materialized (
        select t.task_idx, t.map_index, t.expands, r.ruling as decision
        from leoflow_core.task_instance as t
        cross join lateral (
            -- case keeps this from being called for every row; offset 0: as in ruling
            select case when t.extra_left > 0
                then leoflow_core.indirect_setups(t.run_key, t.version_key, t.task_idx, t.map_index) end as extra
            offset 0
        ) as s
        cross join lateral leoflow_core.ruling(
            t.run_key, t.version_key, t.task_idx, t.map_index, t.trigger_rule, t.upstreams, t.up_success, t.up_failed,
            t.up_upstream_failed, t.up_skipped, t.up_removed, t.extra_left, s.extra[1], s.extra[2]
        ) as r
        where t.run_key = p_run_key and t.state is null
    ),
    u as (
        update leoflow_core.task_instance as t set
            state = d.decision,
            scheduled_at = case when d.decision = 'scheduled' then clock_timestamp() else t.scheduled_at end,
            ready_key = case when d.decision = 'scheduled' and not t.is_gated then -t.priority end,
            gate_key = case when d.decision = 'scheduled' and t.is_gated then -t.priority end,
            end_date = case when d.decision <> 'scheduled' then clock_timestamp() end,
            start_date = case when d.decision <> 'scheduled' then clock_timestamp() end
        from d
        where t.run_key = p_run_key and t.task_idx = d.task_idx and t.map_index = d.map_index
            and d.decision is not null and not (d.expands and d.decision = 'scheduled')
        returning
            t.state,
            leoflow_core.as_settled(t) as settled
    )
    select
        count(*) filter (where u.state = 'scheduled'),
        array_agg(u.settled) filter (where u.state <> 'scheduled'),
        (
            select array_agg((p_run_key, d.task_idx, d.map_index)::leoflow_core.instance_ref)
            from d where d.expands and d.decision = 'scheduled'
        )
    into v_ready, v_settled, v_expanding
    from u;
    v_settled := v_skipped || v_settled;
    if v_settled is not null or v_expanding is not null then
        select p.ready into v_more from leoflow_core.propagate(v_settled, p_again => v_expanding) as p;
    end if;
    return v_ready + v_more;
end
$$;
comment on function leoflow_core.evaluate_run(bigint) is 'Decides every undecided instance of a run from its counters.';

-- Skips undecided instances that a branch or short circuit above them, which is done and does not run again, has said
-- are not to run; so a person who clears such an instance alone has it skipped again (Airflow, NotPreviouslySkippedDep).
-- What mapped tasks and tasks in mapped groups said skips nothing, as in Airflow.
-- Locks: the caller holds the instances. Callers: evaluate_run.
create or replace function leoflow_core.skip_again(p_run_key bigint) returns leoflow_core.settled[] language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_settled leoflow_core.settled[];
begin
    with said as materialized (
        select x.task_idx, convert_from(x.value, 'utf8')::jsonb as value from leoflow_core.xcom as x
        where x.run_key = p_run_key and x.map_index = -1 and x.key = 'skipmixin_key'
    ),
    chosen as materialized (
        select distinct e.downstream_idx as task_idx
        from said as s
        join leoflow_core.task_instance as b
            on b.run_key = p_run_key and b.task_idx = s.task_idx and b.map_index = -1 and leoflow_core.is_final(b.state)
        join leoflow_core.task_edge as e
            on e.version_key = b.version_key and e.upstream_idx = s.task_idx and e.kind = 'd'
        join leoflow_core.task as k on k.version_key = b.version_key and k.task_idx = e.downstream_idx
        where s.value -> 'skipped' ? k.task_id or not s.value -> 'followed' ? k.task_id
    ),
    written as (
        update leoflow_core.task_instance as t set
            state = 'skipped', start_date = clock_timestamp(), end_date = clock_timestamp()
        from chosen as c
        where t.run_key = p_run_key and t.task_idx = c.task_idx and t.state is null
        returning leoflow_core.as_settled(t) as settled
    )
    select array_agg(w.settled) into v_settled from written as w;
    return v_settled;
end
$$;
comment on function leoflow_core.skip_again(bigint) is
'Skips undecided instances that a branch which is done has said are not to run.';
