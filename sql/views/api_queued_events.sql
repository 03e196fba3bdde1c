-- Contract: one row per DAG and asset with events that have not made a run yet. created_at is that of the first.
-- Callers: the API's asset resources.
create or replace view leoflow_core.api_queued_events as
select
    d.dag_id,
    q.asset_key as asset_id,
    min(q.event_at) as created_at,
    coalesce(d.display_name, d.dag_id) as dag_display_name
from leoflow_core.asset_queue q
join leoflow_core.dag d using (dag_key)
where q.counts
group by d.dag_key, d.dag_id, d.display_name, q.asset_key;

comment on view leoflow_core.api_queued_events is 'Events that have not made a run yet, as the API shows them.';
