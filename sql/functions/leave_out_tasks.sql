-- Takes tasks out of a run whose logical date is before their start_date or after their end_date: their instances that
-- have not run become removed (Airflow, DagRun.verify_integrity, which makes none). A backfill has all of them. The
-- DAG's own dates take nothing out: a run that somebody triggers for a date outside of them has all tasks (Airflow
-- makes an empty run that succeeds). The caller recounts the run. Returns whether it took something out.
-- Locks: the caller holds the instances. Callers: create_run, clear_run_tasks, add_new_tasks.
create or replace function leoflow_core.leave_out_tasks(p_run_key bigint) returns boolean language plpgsql as $$
begin
    if not exists (
        select from leoflow_core.dag_run as r
        join leoflow_core.dag_version as v on v.version_key = r.version_key
        where r.run_key = p_run_key and v.has_dates and r.run_type <> 'backfill'
    ) then
        return false;
    end if;
    update leoflow_core.task_instance as t set
        state = 'removed', expands = false, ready_key = null, gate_key = null, start_date = clock_timestamp(),
        end_date = clock_timestamp()
    from leoflow_core.dag_run as r
    cross join lateral leoflow_core.own_dates(r.version_key) as o
    where r.run_key = p_run_key and t.run_key = p_run_key and t.task_idx = o.task_idx and t.try_number = 0
        and (t.state is null or t.state = 'scheduled')
        and (r.logical_date < o.start_at or r.logical_date > o.end_at);
    return found;
end
$$;
comment on function leoflow_core.leave_out_tasks(bigint) is 'Takes tasks out of a run that are not of its date.';

-- The tasks of a version that have a later start_date or an earlier end_date than the DAG. The version's spec, which may
-- be large, is read once. Locks: none. Callers: leave_out_tasks, total_version.
create or replace function leoflow_core.own_dates(p_version_key bigint)
returns table (task_idx int, start_at timestamptz, end_at timestamptz) language sql stable as $$
    with version as materialized (
        select (v.spec ->> 'start_date')::timestamptz as start_at, (v.spec ->> 'end_date')::timestamptz as end_at
        from leoflow_core.dag_version as v where v.version_key = p_version_key
    ),
    dated as materialized (
        select
            t.task_idx, (t.spec -> 'extra' ->> 'start_date')::timestamptz as start_at,
            (t.spec -> 'extra' ->> 'end_date')::timestamptz as end_at
        from leoflow_core.task as t
        where t.version_key = p_version_key and t.spec -> 'extra' ?| '{start_date,end_date}'
    ),
    own as (
        select
            d.task_idx,
            case when d.start_at > v.start_at or v.start_at is null then d.start_at end as start_at,
            case when d.end_at < v.end_at or v.end_at is null then d.end_at end as end_at
        from dated as d
        cross join version as v
    )
    select o.task_idx, o.start_at, o.end_at from own as o where num_nonnulls(o.start_at, o.end_at) > 0
$$;
comment on function leoflow_core.own_dates(bigint) is
'The tasks of a version that have a later start_date or an earlier end_date than the DAG.';
