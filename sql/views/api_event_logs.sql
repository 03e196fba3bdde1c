-- Contract: one row per audit log entry, named as Airflow's API names them.
-- Callers: the API's event log resource.
create or replace view leoflow_core.api_event_logs as
select
    a.audit_key as event_log_id,
    a.created_at as "when",
    a.dag_id,
    a.task_id,
    a.run_id,
    a.map_index,
    a.try_number,
    a.event,
    a.logical_date,
    a.owner,
    a.extra::text as extra,
    coalesce(d.display_name, d.dag_id) as dag_display_name,
    a.task_id as task_display_name
from leoflow_core.audit_log a
left join leoflow_core.dag d on d.dag_id = a.dag_id;

comment on view leoflow_core.api_event_logs is 'The audit log, as the API shows it.';
