-- Runs as the UI's grid and cards show them.
-- Callers: leoflow/api/ui/{dags,grid}.py. Locks: none.
create or replace view leoflow_core.ui_dag_run as
select
    r.run_key,
    r.dag_key,
    r.version_key,
    d.dag_id,
    coalesce(d.display_name, d.dag_id) as dag_display_name,
    d.bundle_name,
    v.version_id,
    v.version_number,
    v.created_at as version_created_at,
    r.run_id,
    r.logical_date,
    r.run_after,
    r.queued_at,
    r.start_date,
    r.end_date,
    r.state,
    r.run_type,
    r.triggering_user_name,
    extract(epoch from r.end_date - r.start_date)::float8 as duration,
    exists (
        select from leoflow_core.deadline as l
        where l.run_key = r.run_key and l.missed
    ) as has_missed_deadline,
    coalesce(
        extract(epoch from coalesce(r.end_date, clock_timestamp()) - r.start_date)::float8, 0
    ) as elapsed
from leoflow_core.dag_run as r
inner join leoflow_core.dag as d on r.dag_key = d.dag_key
inner join leoflow_core.dag_version as v on r.version_key = v.version_key;
comment on view leoflow_core.ui_dag_run is 'Runs as the UI shows them; elapsed counts on while a run goes.';
