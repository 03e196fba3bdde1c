-- Runs. Readers: users, API, CLI.
create or replace view leoflow.dag_runs as
select
    d.dag_id,
    r.run_id as dag_run_id,
    r.run_type,
    r.state,
    r.logical_date,
    r.data_interval_start,
    r.data_interval_end,
    r.run_after,
    r.queued_at,
    r.start_date,
    r.end_date,
    extract(epoch from coalesce(r.end_date, clock_timestamp()) - r.start_date)::float8 as duration,
    r.conf,
    r.triggered_by,
    r.triggering_user_name,
    r.note,
    r.clear_number,
    r.partition_key,
    r.instance_count,
    v.version_number,
    v.version_id as dag_version_id,
    r.dag_key,
    r.version_key,
    r.run_key
from leoflow_core.dag_run as r
join leoflow_core.dag as d on d.dag_key = r.dag_key
join leoflow_core.dag_version as v on v.version_key = r.version_key;
comment on view leoflow.dag_runs is 'Runs of DAGs.';
