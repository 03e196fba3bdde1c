-- Creates one scheduled run for each of a batch of DAGs. The arrays are parallel; a run of a partition has neither run id
-- nor interval. A run that is refused (taken, invalid) costs none of the others. Returns the refused ones: position
-- (from 1), SQLSTATE, message.
-- Plain runs are made together, the others (of partitions, with callbacks, without tasks, maps over nothing, tasks with
-- dates of their own, what is refused) one by one.
-- Locks: as create_run; the caller holds the DAGs' rows. Callers: scheduler.
create or replace function leoflow_core.create_due_runs(
    p_dag_ids text[], p_run_ids text[], p_starts timestamptz[], p_ends timestamptz[], p_run_afters timestamptz[],
    p_partition_keys text[], p_partition_dates timestamptz[]
) returns table (item int, code text, message text) language plpgsql as $$
declare
    v_made int[] := leoflow_core.create_plain_runs(p_dag_ids, p_run_ids, p_starts, p_ends, p_run_afters);
begin
    for i in 1 .. cardinality(p_dag_ids) loop
        continue when i = any(v_made);
        begin
            perform leoflow_core.create_run(
                p_dag_id => p_dag_ids[i], p_run_id => p_run_ids[i], p_run_type => 'scheduled',
                p_logical_date => p_starts[i], p_data_interval_start => p_starts[i],
                p_data_interval_end => p_ends[i], p_run_after => p_run_afters[i], p_triggered_by => 'timetable',
                p_partition_key => p_partition_keys[i], p_partition_date => p_partition_dates[i]
            );
        exception when others then
            -- what its version says cannot be kept: that is its own matter, and not the others'
            if sqlstate !~ '^(LF|22|23|54)' then
                raise;
            end if;
            item := i;
            code := sqlstate;
            message := sqlerrm;
            return next;
        end;
    end loop;
end
$$;
comment on function leoflow_core.create_due_runs(
    text[], text[], timestamptz[], timestamptz[], timestamptz[], text[], timestamptz[]
) is
'Creates one scheduled run for each of a batch of DAGs.';

-- Creates the scheduled runs of a batch that need nothing but their rows, as create_run would. Returns the positions
-- (from 1) of those it made: what is missing is for create_run to make or to refuse.
-- Locks: as create_run; DAGs in key order. Callers: create_due_runs.
create or replace function leoflow_core.create_plain_runs(
    p_dag_ids text[], p_run_ids text[], p_starts timestamptz[], p_ends timestamptz[], p_run_afters timestamptz[]
) returns int[] language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_startable int[];
    v_made int[];
    v_runs bigint[];
    v_slotted bigint[];
begin
    select array_agg(x.dag_key) into v_startable from (
        select d.dag_key from unnest(p_dag_ids) as i(dag_id)
        join leoflow_core.dag as d on d.dag_id = i.dag_id
        where not d.is_paused
        order by d.dag_key
    ) as x
    where pg_try_advisory_xact_lock(leoflow_core.lock_class('start_runs'), x.dag_key);
    -- in a new snapshot: whoever held a lock before has committed
    with plain as materialized (
        select
            i.ord::int, leoflow_core.next_run_key() as run_key, d.dag_key, v.version_key, v.counted_count,
            v.end_slots, v.instance_count, v.expands or v.instance_count > v.max_active_tasks as is_gated, v.has_slotted, i.run_id, i.start_at, i.end_at,
            i.run_after,
            d.dag_key = any(v_startable) and not exists (
                select from leoflow_core.dag_run as r
                where r.dag_key = d.dag_key and r.state = 'queued' and r.backfill_key is null and r.run_after <= v_now
            )
            and (
                select count(*) from (
                    select from leoflow_core.dag_run as r
                    where r.dag_key = d.dag_key and r.state = 'running' and r.backfill_key is null
                    limit d.max_active_runs
                ) as active
            ) < d.max_active_runs as starts
        from unnest(p_dag_ids, p_run_ids, p_starts, p_ends, p_run_afters)
            with ordinality as i(dag_id, run_id, start_at, end_at, run_after, ord)
        join leoflow_core.dag as d on d.dag_id = i.dag_id
        join leoflow_core.dag_version as v on v.version_key = d.current_version_key
        where not d.is_stale and ('scheduled' = any(d.allowed_run_types)) is not false
            and length(i.run_id) between 1 and 250 and v.task_count > 0 and not v.expands_at_start
            and not v.has_callbacks and not v.has_dates
    ),
    made as (
        insert into leoflow_core.dag_run (
            run_key, dag_key, version_key, run_id, run_type, state, remaining, open_slots, instance_count, is_gated,
            logical_date, data_interval_start, data_interval_end, run_after, queued_at, start_date, triggered_by
        )
        select
            p.run_key, p.dag_key, p.version_key, p.run_id, 'scheduled',
            case when p.starts then 'running' else 'queued' end::leoflow.dag_run_state, p.counted_count,
            p.end_slots, p.instance_count, p.is_gated, p.start_at, p.start_at, p.end_at, p.run_after, v_now,
            case when p.starts then v_now end, 'timetable'
        from plain as p
        on conflict do nothing
        returning run_key
    )
    select array_agg(p.ord), array_agg(p.run_key), array_agg(p.run_key) filter (where p.has_slotted)
    into v_made, v_runs, v_slotted
    from made as m
    join plain as p on p.run_key = m.run_key;
    perform leoflow_core.insert_instances(v_runs);
    if v_slotted is not null then
        perform leoflow_core.open_join_counters(v_slotted);
    end if;
    return coalesce(v_made, '{}');
end
$$;
comment on function leoflow_core.create_plain_runs(text[], text[], timestamptz[], timestamptz[], timestamptz[]) is
'Creates the scheduled runs of a batch that need nothing but their rows.';
