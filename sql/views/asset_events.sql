-- Changes of assets with what made them and what they made. Readers: users, API, CLI.
create or replace view leoflow.asset_events as
select
    e.event_key as asset_event_id,
    e.asset_key as asset_id,
    a.name,
    a.uri,
    a.asset_group as "group",
    e.created_at as "timestamp",
    e.extra,
    e.source_dag_id,
    e.source_run_id,
    e.source_task_id,
    e.source_map_index,
    array(
        select l.name from leoflow_core.asset_event_alias as x
        join leoflow_core.asset_alias as l on l.alias_key = x.alias_key
        where x.event_key = e.event_key order by l.name
    ) as source_aliases,
    e.partition_key,
    array(
        select d.dag_id || '/' || r.run_id from leoflow_core.dag_run_asset_event as c
        join leoflow_core.dag_run as r on r.run_key = c.run_key
        join leoflow_core.dag as d on d.dag_key = r.dag_key
        where c.event_key = e.event_key order by r.run_key
    ) as created_dag_runs,
    array(
        select d.dag_id from leoflow_core.asset_queue as q
        join leoflow_core.dag as d on d.dag_key = q.dag_key
        where q.event_key = e.event_key order by d.dag_id
    ) as queued_dags
from leoflow_core.asset_event as e
join leoflow_core.asset as a on a.asset_key = e.asset_key;
comment on view leoflow.asset_events is 'Changes of assets with what made them and what they made.';
comment on column leoflow.asset_events.asset_event_id is 'The id in the API.';
comment on column leoflow.asset_events.asset_id is 'The asset.';
comment on column leoflow.asset_events.name is 'The asset''s name.';
comment on column leoflow.asset_events.uri is 'The asset''s uri.';
comment on column leoflow.asset_events."group" is 'The asset''s group.';
comment on column leoflow.asset_events."timestamp" is 'When it was recorded.';
comment on column leoflow.asset_events.extra is 'What the task or the caller said about it.';
comment on column leoflow.asset_events.source_dag_id is 'The DAG of the task that made it; null when no task did.';
comment on column leoflow.asset_events.source_run_id is 'The run of that task.';
comment on column leoflow.asset_events.source_task_id is 'That task.';
comment on column leoflow.asset_events.source_map_index is 'The map index of its instance, -1 for none.';
comment on column leoflow.asset_events.source_aliases is 'The aliases it came through.';
comment on column leoflow.asset_events.partition_key is 'The partition it is about.';
comment on column leoflow.asset_events.created_dag_runs is 'The runs it made, as dag_id/run_id.';
comment on column leoflow.asset_events.queued_dags is 'DAGs that wait for more events before this one makes a run.';
