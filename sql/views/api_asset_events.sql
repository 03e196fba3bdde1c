-- Contract: one row per asset event, named as Airflow's API names them. A run that was created and has not started is
-- shown with the time it was queued, since Airflow's clients accept no null there. A count evaluates no subquery.
-- Callers: the API's asset resources.
create or replace view leoflow_core.api_asset_events as
select
    e.event_key as id,
    e.asset_key as asset_id,
    a.uri,
    a.name,
    a.asset_group as "group",
    e.extra,
    e.source_task_id,
    e.source_dag_id,
    e.source_run_id,
    e.source_map_index,
    coalesce((
        select
            jsonb_agg(
                jsonb_build_object(
                    'run_id', r.run_id, 'dag_id', d.dag_id, 'logical_date', r.logical_date,
                    'start_date', coalesce(r.start_date, r.queued_at), 'end_date', r.end_date, 'state', r.state,
                    'data_interval_start', r.data_interval_start, 'data_interval_end', r.data_interval_end,
                    'partition_key', r.partition_key
                ) order by r.run_key
            )
        from leoflow_core.dag_run_asset_event c
        join leoflow_core.dag_run r using (run_key)
        join leoflow_core.dag d using (dag_key)
        where c.event_key = e.event_key
    ), '[]') as created_dagruns,
    e.created_at as "timestamp",
    e.partition_key
from leoflow_core.asset_event e
join leoflow_core.asset a using (asset_key);

comment on view leoflow_core.api_asset_events is 'Asset events, as the API shows them.';
