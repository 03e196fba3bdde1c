-- Contract: one row per asset, named as Airflow's API names them. A count of rows evaluates none of the subqueries.
-- Callers: the API's asset resources.
create or replace view leoflow_core.api_assets as
select
    a.asset_key as id,
    a.name,
    a.uri,
    a.asset_group as "group",
    a.extra,
    a.created_at,
    a.updated_at,
    a.is_active,
    coalesce((
        select
            jsonb_agg(
                jsonb_build_object('dag_id', d.dag_id, 'created_at', s.created_at, 'updated_at', s.updated_at) order by d.dag_id
            )
        from leoflow_core.schedule_asset s
        join leoflow_core.dag d using (dag_key)
        where s.asset_key = a.asset_key
    ), '[]') as scheduled_dags,
    leoflow_core.api_asset_tasks(a.asset_key, 'outlet') as producing_tasks,
    leoflow_core.api_asset_tasks(a.asset_key, 'inlet') as consuming_tasks,
    coalesce((
        select
            jsonb_agg(
                jsonb_build_object('id', l.alias_key, 'name', l.name, 'group', l.asset_group) order by l.alias_key
            )
        from leoflow_core.asset_alias_asset r
        join leoflow_core.asset_alias l using (alias_key)
        where r.asset_key = a.asset_key
    ), '[]') as aliases,
    coalesce((
        select
            jsonb_agg(
                jsonb_build_object('name', w.name, 'trigger_id', w.trigger_key, 'created_date', w.created_at) order by w.name
            )
        from (
            select distinct on (w.trigger_key) w.name, w.trigger_key, w.created_at
            from leoflow_core.asset_watcher w
            where w.asset_key = a.asset_key and w.trigger_key is not null
            order by w.trigger_key, w.dag_key
        ) w
    ), '[]') as watchers,
    coalesce((
        select jsonb_build_object('id', e.event_key, 'timestamp', e.created_at)
        from leoflow_core.asset_event e
        where e.asset_key = a.asset_key
        order by e.created_at desc, e.event_key desc
        limit 1
    ), '{"id": null, "timestamp": null}') as last_asset_event
from leoflow_core.asset a;

comment on view leoflow_core.api_assets is 'Assets, as the API shows them.';
