-- Writes the deadlines of a new run, one per deadline alert of its version whose reference has a moment: the logical
-- date, the time of queueing, a fixed time, or now plus the average runtime of earlier runs (Airflow,
-- SerializedDAG._process_dagrun_deadline_alerts, models/deadline.py). Without a logical date, or with fewer runs than
-- min_runs, there is no deadline.
-- Locks: none beyond the new rows. Callers: prepare_callbacks.
create or replace function leoflow_core.open_deadlines(p_run_key bigint) returns void language plpgsql as $$
begin
    insert into leoflow_core.deadline (run_key, alert_idx, reference, deadline_time)
    select d.run_key, d.alert_idx, d.reference, d.at + make_interval(secs => greatest(least(d.seconds, 3e9), -3e9))
    from (
        select
            r.run_key, a.position::int - 1 as alert_idx, x.reference, coalesce((a.alert ->> 'interval_seconds')::float8, 0) as seconds,
            case x.reference
                when 'DagRunLogicalDateDeadline' then r.logical_date
                when 'DagRunQueuedAtDeadline' then r.queued_at
                when 'FixedDatetimeDeadline' then to_timestamp((a.alert -> 'reference' ->> 'datetime')::float8)
                when 'AverageRuntimeDeadline' then clock_timestamp() + leoflow_core.average_runtime(
                    r.dag_key, (a.alert -> 'reference' ->> 'max_runs')::int, (a.alert -> 'reference' ->> 'min_runs')::int
                )
            end as at
        from leoflow_core.dag_run as r
        join leoflow_core.dag_version as v on v.version_key = r.version_key
        cross join lateral jsonb_array_elements(coalesce(nullif(v.spec -> 'deadlines', 'null'), '[]'))
            with ordinality as a(alert, position)
        cross join lateral (select a.alert -> 'reference' ->> 'reference_type' as reference) as x
        where r.run_key = p_run_key
    ) as d
    where d.at is not null;
    if found then
        notify leoflow_deadlines;
    end if;
end
$$;
comment on function leoflow_core.open_deadlines(bigint) is 'Writes the deadlines of a new run.';

-- Moves the deadlines of a run that count from its queueing and are not missed yet: it is queued again, by a clear or by
-- a backfill that repeats it. It gets no new ones (Airflow, _recalculate_dagrun_queued_at_deadlines). Call it before the
-- new queued_at is written. Locks: the rows it moves; the caller holds the run. Callers: reopen_run.
create or replace function leoflow_core.move_deadlines(p_run_key bigint, p_queued_at timestamptz) returns void
language sql as $$
    update leoflow_core.deadline as l set deadline_time = l.deadline_time + (p_queued_at - r.queued_at)
    from leoflow_core.dag_run as r
    where r.run_key = p_run_key and l.run_key = p_run_key and not l.missed and l.reference = 'DagRunQueuedAtDeadline'
$$;
comment on function leoflow_core.move_deadlines(bigint, timestamptz) is
'Moves the deadlines of a run that is queued again.';

-- How long the latest finished runs of a DAG took on average; null with fewer than p_min_runs of them.
-- Locks: none. Callers: open_deadlines.
create or replace function leoflow_core.average_runtime(p_dag_key int, p_max_runs int, p_min_runs int) returns interval
language sql stable as $$
    select case when count(*) >= greatest(coalesce(p_min_runs, p_max_runs), 1) then avg(x.took) end
    from (
        select r.end_date - r.start_date as took from leoflow_core.dag_run as r
        where r.dag_key = p_dag_key and r.start_date is not null and r.end_date is not null
        order by r.logical_date desc limit p_max_runs
    ) as x
$$;
comment on function leoflow_core.average_runtime(int, int, int) is 'How long the latest finished runs of a DAG took on average.';

-- Marks deadlines whose time has come as missed and asks for their callbacks. Returns how many.
-- Locks: the deadlines with SKIP LOCKED. Callers: scheduler; any number at once.
create or replace function leoflow_core.miss_deadlines(p_limit int default 100) returns int language plpgsql as $$
declare
    v_missed int;
begin
    with due as materialized (
        select l.deadline_key from leoflow_core.deadline as l
        where not l.missed and l.deadline_time < clock_timestamp()
        order by l.deadline_time limit p_limit for update skip locked
    ),
    missed as (
        update leoflow_core.deadline as l set missed = true from due as d
        where l.deadline_key = d.deadline_key
        returning l.run_key, l.alert_idx, l.deadline_id, l.deadline_time
    ),
    requested as (
        insert into leoflow_core.outbox (kind, run_key, payload)
        select 'deadline', m.run_key, jsonb_build_object(
            'alert_idx', m.alert_idx, 'deadline_id', m.deadline_id, 'deadline_time', leoflow_core.isoformat(m.deadline_time)
        )
        from missed as m order by m.deadline_time
        returning 1
    )
    select count(*) into v_missed from requested;
    if v_missed > 0 then
        notify leoflow_callbacks;
    end if;
    return v_missed;
end
$$;
comment on function leoflow_core.miss_deadlines(int) is 'Marks deadlines whose time has come as missed and asks for their callbacks.';
