-- DAGs as the UI's list shows them: those of the API, plus the latest run for sorting and filtering.
-- Callers: leoflow/api/ui/dags.py. Locks: none.
create or replace view leoflow_core.ui_dag as
select
    d.dag_key,
    d.dag_id,
    d.dag_display_name,
    d.is_paused,
    d.is_stale,
    d.last_parsed_time,
    d.last_parse_duration,
    d.last_expired,
    d.bundle_name,
    d.bundle_version,
    d.relative_fileloc,
    d.fileloc,
    d.description,
    d.timetable_summary,
    d.timetable_description,
    d.timetable_partitioned,
    d.allowed_run_types,
    d.tag_names,
    d.max_active_tasks,
    d.max_active_runs,
    d.max_consecutive_failed_dag_runs,
    d.has_task_concurrency_limits,
    d.has_import_errors,
    d.next_dagrun_logical_date,
    d.next_dagrun_data_interval_start,
    d.next_dagrun_data_interval_end,
    d.next_dagrun_run_after,
    d.owners,
    d.schedule ->> 'type' as schedule_type,
    leoflow_core.asset_expression(d.schedule -> 'expression') as schedule_expression,
    latest.state as last_run_state,
    latest.start_date as last_run_start_date
from leoflow_core.api_dags as d
left join lateral (
    select
        r.state,
        r.start_date
    from leoflow_core.dag_run as r
    where r.dag_key = d.dag_key
    order by r.run_after desc
    limit 1
) as latest on true;
comment on view leoflow_core.ui_dag is 'DAGs as the UI lists them, with the state of their latest run.';
