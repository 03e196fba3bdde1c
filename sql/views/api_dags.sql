-- Contract: one row per DAG, named as Airflow's API names them.
-- Callers: the API's DAG resources, public and UI.
create or replace view leoflow_core.api_dags as
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
    coalesce(
        (
            select
                jsonb_agg(
                    jsonb_build_object(
                        'name', tag, 'dag_id', d.dag_id, 'dag_display_name', coalesce(d.display_name, d.dag_id)
                    )
                    order by tag
                )
            from unnest(d.tags) as tag
        ),
        '[]'
    ) as tags,
    d.tags as tag_names,
    d.max_active_tasks,
    d.max_active_runs,
    d.max_consecutive_failed_dag_runs,
    exists (
        select
        from leoflow_core.task t
        where
            t.version_key = d.current_version_key
            and (t.max_active_tis_per_dag is not null or t.max_active_tis_per_dagrun is not null)
    ) as has_task_concurrency_limits,
    d.has_import_errors,
    d.next_logical_date as next_dagrun_logical_date,
    d.next_data_interval_start as next_dagrun_data_interval_start,
    d.next_data_interval_end as next_dagrun_data_interval_end,
    d.next_run_after as next_dagrun_run_after,
    d.allowed_run_types,
    d.owners,
    coalesce(d.schedule ->> 'type' in ('cron', 'multiple_cron', 'delta'), false) as timetable_periodic,
    coalesce(
        d.schedule ->> 'type' in ('cron', 'multiple_cron', 'delta', 'cron_partition', 'custom', 'asset_or_time'), false
    ) and ('backfill' = any(d.allowed_run_types)) is not false as is_backfillable,
    coalesce(d.schedule ->> 'type' in ('assets', 'asset_or_time', 'partitioned_assets'), false)
        as has_asset_schedule,
    d.schedule,
    d.current_version_key,
    d.project_path
from leoflow_core.dag d;

comment on view leoflow_core.api_dags is 'DAGs, as the API shows them.';
