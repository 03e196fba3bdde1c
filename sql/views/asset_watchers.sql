-- Watchers of assets: what makes events of them, and how it fares. Readers: users.
create or replace view leoflow.asset_watchers as
select
    a.name as asset_name,
    a.uri as asset_uri,
    w.name,
    d.dag_id,
    w.classpath,
    w.trigger_key as trigger_id,
    case
        when w.trigger_key is null and not a.is_active then 'off: the asset is not active'
        when w.trigger_key is null then 'off: no unpaused DAG is scheduled by the asset'
        when g.triggerer_key is null then 'waits for a triggerer'
        when g.failed_at is not null then 'failing'
        else 'running'
    end as state,
    case when p.process_key is not null then p.hostname || ':' || p.pid end as triggerer,
    coalesce(g.event_count, 0) as events,
    g.last_event_at,
    g.failed_at,
    g.failure
from leoflow_core.asset_watcher as w
join leoflow_core.asset as a on a.asset_key = w.asset_key
join leoflow_core.dag as d on d.dag_key = w.dag_key
left join leoflow_core.watcher_trigger as g on g.trigger_key = w.trigger_key
left join leoflow_core.process as p on p.process_key = g.triggerer_key;
comment on view leoflow.asset_watchers is 'Watchers of assets: what makes events of them, and how it fares.';
comment on column leoflow.asset_watchers.asset_name is 'The asset''s name.';
comment on column leoflow.asset_watchers.asset_uri is 'The asset''s uri.';
comment on column leoflow.asset_watchers.name is 'Name of the watcher.';
comment on column leoflow.asset_watchers.dag_id is 'The DAG that declares it.';
comment on column leoflow.asset_watchers.classpath is 'Class of its trigger.';
comment on column leoflow.asset_watchers.trigger_id is 'What runs for it; equal triggers run once. Null: nothing runs.';
comment on column leoflow.asset_watchers.state is 'running, failing, waiting for a triggerer, or why it is off.';
comment on column leoflow.asset_watchers.triggerer is 'Host and process that run it.';
comment on column leoflow.asset_watchers.events is 'Events since it runs.';
comment on column leoflow.asset_watchers.last_event_at is 'When it made its last event.';
comment on column leoflow.asset_watchers.failed_at is 'When it last ended without an event; null once it made one.';
comment on column leoflow.asset_watchers.failure is 'Why.';
