-- Carries final states downstream: counts them at their successors, makes ready what may run, expands what is mapped,
-- settles what is skipped or upstream_failed and goes on from there, and ends runs. The caller has already written
-- p_settled. p_again: undecided instances to look at although nothing new is known of their upstreams.
-- Up to p_handoff of the direct successors are handed to p_worker_key already claimed (queue in p_queue_keys; if
-- limits apply, only in exchange for a token of the same run, pool and size that p_settled gave back).
-- Locks: slots, then successors in key order, level by level, each with what expand_tasks locks, then slots of the
-- run's end, then runs in key order.
-- Two calls on crossing levels may deadlock: callers retry 40P01.
-- Callers: finish, evaluate_run, skip_downstream, reap, mark_tasks.
create or replace function leoflow_core.propagate(
    p_settled leoflow_core.settled[],
    p_worker_key int default null,
    p_handoff int default 0,
    p_queue_keys int[] default null,
    p_start boolean default true,
    p_again leoflow_core.instance_ref[] default null,
    out handed leoflow_core.instance_ref[],
    out ready int
) language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
    v_all leoflow_core.settled[] := p_settled;
    v_front leoflow_core.settled[];
    v_next leoflow_core.settled[];
    v_touched leoflow_core.instance_ref[];
    v_again leoflow_core.instance_ref[] := p_again;
    v_expanding leoflow_core.instance_ref[];
    v_expanded record;
    v_handed leoflow_core.instance_ref[];
    v_ready int;
    v_slots boolean;
    v_edges boolean;
    v_handoff int := p_handoff;
begin
    ready := 0;
    select array_agg(f::leoflow_core.settled) filter (where f.has_downstream or f.feeds_slots), bool_or(f.feeds_slots),
        bool_or(f.has_downstream)
    into v_front, v_slots, v_edges from unnest(p_settled) as f;
    while v_front is not null or v_again is not null loop
        v_touched := null;
        if v_slots then
            v_touched := leoflow_core.count_in_slots(v_front);
            exit when v_touched is null and v_again is null and not v_edges;
        end if;
        with agg as materialized (
            -- map_index null: holds for all instances of the task
            select
                f.run_key, e.downstream_idx as task_idx, i.first_index as map_index, i.fan,
                count(*) filter (where e.kind = 'd' and f.state = 'success')::int as n_success,
                count(*) filter (where e.kind = 'd' and f.state = 'failed')::int as n_failed,
                count(*) filter (where e.kind = 'd' and f.state = 'upstream_failed')::int as n_upstream_failed,
                count(*) filter (where e.kind = 'd' and f.state = 'skipped')::int as n_skipped,
                count(*) filter (where e.kind = 'd' and f.state = 'removed')::int as n_removed,
                count(*) filter (where (e.kind = 't' and f.state is not null) or (e.kind in ('s', 'm') and f.state in ('success', 'removed')))::int
                    as n_extra,
                count(*) filter (where e.kind in ('s', 'm') and f.state in ('failed', 'upstream_failed'))::int
                    as n_extra_failed,
                count(*) filter (where e.kind in ('s', 'm') and f.state = 'skipped')::int as n_extra_skipped,
                false as from_slots
            from unnest(v_front) as f
            join leoflow_core.task_edge as e on e.version_key = f.version_key and e.upstream_idx = f.task_idx
            cross join lateral leoflow_core.joined_instances(
                f.run_key, e.downstream_idx, e.is_indexed, e.fan_inputs, e.fan, e.is_ranged, f.map_index
            ) as i
            where f.has_downstream and not e.is_slotted and (e.kind <> 'm' or f.map_index = -1)
            group by f.run_key, e.downstream_idx, i.first_index, i.fan
            union all
            select
                s.run_key, s.task_idx, null, null, sum(j.up_success)::int, sum(j.up_failed)::int,
                sum(j.up_upstream_failed)::int, sum(j.up_skipped)::int, sum(j.up_removed)::int, 0, 0, 0, true
            from unnest(v_touched) as s
            join leoflow_core.join_counter as j
                on leoflow_core.by_key(j.run_key, s.run_key) and j.task_idx = s.task_idx and j.map_index = -1
            group by s.run_key, s.task_idx
            union all
            select a.run_key, a.task_idx, a.map_index, null, 0, 0, 0, 0, 0, 0, 0, 0, false from unnest(v_again) as a
        ),
        merged as materialized (
            select
                a.run_key, a.task_idx, t.map_index, sum(a.n_success)::int as n_success, sum(a.n_failed)::int as n_failed,
                sum(a.n_upstream_failed)::int as n_upstream_failed, sum(a.n_skipped)::int as n_skipped,
                sum(a.n_removed)::int as n_removed, sum(a.n_extra)::int as n_extra,
                sum(a.n_extra_failed)::int as n_extra_failed, sum(a.n_extra_skipped)::int as n_extra_skipped,
                bool_or(a.from_slots) as from_slots
            from agg as a
            join leoflow_core.task_instance as t
                on leoflow_core.by_key(t.run_key, a.run_key) and t.task_idx = a.task_idx
                    and t.map_index between coalesce(a.map_index, -1)
                    and coalesce(a.map_index + coalesce(a.fan, 1) - 1, 2147483647)
            where t.state is null
            group by a.run_key, a.task_idx, t.map_index
        ),
        locked as materialized (
            select
                t.run_key, t.task_idx, t.map_index, t.version_key, t.trigger_rule, t.upstreams, t.priority, t.queue_key,
                t.pool_key, t.pool_slots, t.is_gated, t.expands, a.n_extra_failed, a.n_extra_skipped,
                case when a.from_slots then a.n_success else t.up_success + a.n_success end as up_success,
                case when a.from_slots then a.n_failed else t.up_failed + a.n_failed end as up_failed,
                case when a.from_slots then a.n_upstream_failed else t.up_upstream_failed + a.n_upstream_failed end
                    as up_upstream_failed,
                case when a.from_slots then a.n_skipped else t.up_skipped + a.n_skipped end as up_skipped,
                case when a.from_slots then a.n_removed else t.up_removed + a.n_removed end as up_removed,
                t.extra_left - a.n_extra as extra_left
            from merged as a
            join leoflow_core.task_instance as t
                on leoflow_core.by_key(t.run_key, a.run_key) and t.task_idx = a.task_idx and t.map_index = a.map_index
            where t.state is null
            order by a.run_key, a.task_idx, a.map_index
            for update of t
        ),
        ruled as materialized (
            select l.*, r.ruling
            from locked as l
            cross join lateral leoflow_core.ruling(
                l.run_key, l.version_key, l.task_idx, l.map_index, l.trigger_rule, l.upstreams, l.up_success,
                l.up_failed, l.up_upstream_failed, l.up_skipped, l.up_removed, l.extra_left, l.n_extra_failed,
                l.n_extra_skipped
            ) as r
        ),
        decided as materialized (
            select
                r.*, r.expands and r.ruling = 'scheduled' as is_expanding,
                case when not r.expands or r.ruling <> 'scheduled' then r.ruling end as decision
            from ruled as r
        ),
        freed as materialized (
            select f.run_key, f.pool_key, f.pool_slots, count(*) as n from unnest(v_front) as f
            where v_handoff > 0 and f.has_token group by f.run_key, f.pool_key, f.pool_slots
        ),
        takers as materialized (
            select d.run_key, d.task_idx, d.map_index, d.is_gated, d.pool_key, d.pool_slots
            from (
                select
                    d.*, coalesce(x.n, 0) as tokens,
                    row_number() over (
                        partition by d.is_gated, d.run_key, d.pool_key, d.pool_slots order by d.priority desc, d.task_idx,
                            d.map_index
                    ) as place
                from decided as d
                left join freed as x
                    on x.run_key = d.run_key and x.pool_key = d.pool_key and x.pool_slots = d.pool_slots
                where v_handoff > 0 and d.decision = 'scheduled' and d.queue_key = any(p_queue_keys)
            ) as d
            where (not d.is_gated or d.place <= d.tokens) and leoflow_core.may_hand_off(d.run_key, d.version_key, d.task_idx, d.is_gated)
            order by d.priority desc, d.run_key, d.task_idx, d.map_index
            limit v_handoff
        ),
        tokens as (
            insert into leoflow_core.gate_token (run_key, task_idx, map_index, pool_key, pool_slots)
            select k.run_key, k.task_idx, k.map_index, k.pool_key, k.pool_slots from takers as k where k.is_gated
        ),
        written as (
            update leoflow_core.task_instance as t set
                up_success = d.up_success, up_failed = d.up_failed, up_upstream_failed = d.up_upstream_failed,
                up_skipped = d.up_skipped, up_removed = d.up_removed, extra_left = d.extra_left,
                state = case
                    when d.is_handed and p_start then 'running'::leoflow.task_instance_state
                    when d.is_handed then 'queued'::leoflow.task_instance_state
                    else d.decision end,
                scheduled_at = case when d.decision = 'scheduled' then v_now else t.scheduled_at end,
                ready_key = case when d.decision = 'scheduled' and not d.is_handed and not t.is_gated then -t.priority end,
                gate_key = case when d.decision = 'scheduled' and not d.is_handed and t.is_gated then -t.priority end,
                attempt_id = case when d.is_handed then leoflow_core.uuid7() else t.attempt_id end,
                worker_key = case when d.is_handed then p_worker_key else t.worker_key end,
                queued_at = case when d.is_handed then v_now else t.queued_at end,
                due_at = case when d.is_handed and not p_start then v_now
                    + make_interval(secs => leoflow_core.setting('queued_timeout_seconds')::float8) end,
                start_date = case when d.is_handed and not p_start then null
                    when d.is_handed or d.decision <> 'scheduled' then v_now else t.start_date end,
                end_date = case when d.decision <> 'scheduled' then v_now else t.end_date end,
                try_number = case when d.is_handed then t.try_number + 1 else t.try_number end
            from (
                select d.*, k.task_idx is not null as is_handed
                from decided as d
                left join takers as k
                    on k.run_key = d.run_key and k.task_idx = d.task_idx and k.map_index = d.map_index
            ) as d
            where leoflow_core.by_key(t.run_key, d.run_key) and t.task_idx = d.task_idx and t.map_index = d.map_index
            returning
                t.run_key, t.task_idx, t.map_index, d.decision, d.is_handed, d.is_expanding,
                leoflow_core.as_settled(t) as settled
        )
        select
            array_agg(w.settled) filter (where w.decision <> 'scheduled'),
            array_agg((w.run_key, w.task_idx, w.map_index)::leoflow_core.instance_ref) filter (where w.is_handed),
            count(*) filter (where w.decision = 'scheduled' and not w.is_handed),
            array_agg((w.run_key, w.task_idx, w.map_index)::leoflow_core.instance_ref) filter (where w.is_expanding)
        into v_next, v_handed, v_ready, v_expanding
        from written as w;
        v_again := null;
        if v_expanding is not null and v_next is not null then
            v_again := v_expanding; -- after what has been settled just now is counted, or it would count twice
        elsif v_expanding is not null then
            select e.* into v_expanded from leoflow_core.expand_tasks(v_expanding) as e;
            v_next := v_next || v_expanded.settled;
            v_again := v_expanded.again;
            v_ready := v_ready + v_expanded.ready;
        end if;
        ready := ready + v_ready;
        handed := handed || v_handed;
        v_handoff := 0;
        v_all := v_all || v_next;
        v_front := null;
        if v_next is not null then
            select array_agg(f::leoflow_core.settled) filter (where f.has_downstream or f.feeds_slots),
                bool_or(f.feeds_slots), bool_or(f.has_downstream)
            into v_front, v_slots, v_edges from unnest(v_next) as f;
        end if;
    end loop;
    perform leoflow_core.count_run_end(v_all);
end
$$;
comment on function leoflow_core.propagate(
    leoflow_core.settled[], int, int, int[], boolean, leoflow_core.instance_ref[]
) is 'Carries final states downstream and ends runs.';
