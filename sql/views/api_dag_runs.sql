-- Contract: one row per DAG run, named as Airflow's API names them. A read ordered by run_key or run_after walks the
-- index of leoflow_core.dag_run: every join is to one row.
-- Callers: the API's DAG run resources.
create or replace view leoflow_core.api_dag_runs as
select
    r.run_key,
    r.dag_key,
    r.version_key,
    r.run_key as id,
    r.run_id as dag_run_id,
    r.run_id,
    d.dag_id,
    r.logical_date,
    r.queued_at,
    r.start_date,
    r.end_date,
    extract(epoch from r.end_date - r.start_date)::float8 as duration,
    r.data_interval_start,
    r.data_interval_end,
    r.run_after,
    r.updated_at as last_scheduling_decision,
    r.updated_at,
    r.run_type::text as run_type,
    r.state::text as state,
    r.triggered_by,
    r.triggering_user_name,
    r.conf,
    r.note,
    jsonb_build_array(v.dag_version) as dag_versions,
    v.version_number,
    null::text as bundle_version,
    v.dag_display_name,
    r.partition_key
from leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
join leoflow_core.api_dag_versions v on v.version_key = r.version_key;

comment on view leoflow_core.api_dag_runs is 'DAG runs, as the API shows them.';
