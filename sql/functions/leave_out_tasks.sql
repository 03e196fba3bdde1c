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
    join leoflow_core.dag_version as v on v.version_key = r.version_key
    join leoflow_core.task as k on k.version_key = v.version_key
    cross join lateral leoflow_core.own_dates(v.spec, k.spec) as o
    where r.run_key = p_run_key and t.run_key = p_run_key and t.task_idx = k.task_idx and t.try_number = 0
        and (t.state is null or t.state = 'scheduled')
        and (r.logical_date < o.start_at or r.logical_date > o.end_at);
    return found;
end
$$;
comment on function leoflow_core.leave_out_tasks(bigint) is 'Takes tasks out of a run that are not of its date.';

-- The start_date and end_date of a task where they say more than its DAG's, else null. Locks: none. Callers:
-- leave_out_tasks, total_version.
create or replace function leoflow_core.own_dates(
    p_dag jsonb, p_task jsonb, out start_at timestamptz, out end_at timestamptz
) language sql stable as $$
    select
        case when s.task > s.dag or s.dag is null then s.task end, case when e.task < e.dag or e.dag is null then e.task end
    from (
        select
            (p_dag ->> 'start_date')::timestamptz as dag, (p_task -> 'extra' ->> 'start_date')::timestamptz as task
    ) as s
    cross join (
        select (p_dag ->> 'end_date')::timestamptz as dag, (p_task -> 'extra' ->> 'end_date')::timestamptz as task
    ) as e
$$;
comment on function leoflow_core.own_dates(jsonb, jsonb) is
'The start_date and end_date of a task where they say more than its DAG''s.';
