-- Who did what and when. Readers: users, API, CLI.
create or replace view leoflow.audit_log as
select
    a.audit_key as event_log_id,
    a.created_at as "when",
    a.event,
    a.owner,
    a.dag_id,
    a.task_id,
    a.run_id,
    a.map_index,
    a.try_number,
    a.logical_date,
    a.extra
from leoflow_core.audit_log as a;
comment on view leoflow.audit_log is 'Who did what and when.';
