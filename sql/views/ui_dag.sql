-- DAGs as the UI's list shows them: names of Airflow's DAGResponse, plus the latest run for sorting and filtering.
-- Callers: leoflow/api/ui/dags.py. Locks: none.
create or replace view leoflow_core.ui_dag as
select
    d.dag_key,
    d.dag_id,
    coalesce(d.display_name, d.dag_id) as dag_display_name,
    d.is_paused,
    d.is_stale,
    d.last_parsed_at as last_parsed_time,
    d.last_parse_seconds as last_parse_duration,
    d.last_expired_at as last_expired,
    d.bundle_name,
    null::text as bundle_version,
    d.relative_fileloc,
    coalesce(d.fileloc, '') as fileloc,
    d.description,
    d.timetable_summary,
    d.timetable_description,
    coalesce(d.schedule ->> 'type' in ('partitioned_assets', 'cron_partition'), false) as timetable_partitioned,
    d.allowed_run_types,
    d.tags as tag_names,
    d.max_active_tasks,
    d.max_active_runs,
    d.max_consecutive_failed_dag_runs,
    exists (
        select from leoflow_core.task as t
        where
            t.version_key = d.current_version_key
            and (t.max_active_tis_per_dag is not null or t.max_active_tis_per_dagrun is not null)
    ) as has_task_concurrency_limits,
    d.has_import_errors,
    d.next_logical_date as next_dagrun_logical_date,
    d.next_data_interval_start as next_dagrun_data_interval_start,
    d.next_data_interval_end as next_dagrun_data_interval_end,
    d.next_run_after as next_dagrun_run_after,
    d.owners,
    d.schedule ->> 'type' as schedule_type,
    leoflow_core.asset_expression(d.schedule -> 'expression') as schedule_expression,
    latest.state as last_run_state,
    latest.start_date as last_run_start_date
from leoflow_core.dag as d
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
