-- Assets with who makes and who waits for them. Readers: users, API, CLI.
create or replace view leoflow.assets as
select
    a.asset_key as asset_id,
    a.name,
    a.uri,
    a.asset_group as "group",
    a.extra,
    a.is_active,
    array(
        select d.dag_id from leoflow_core.schedule_asset as s
        join leoflow_core.dag as d on d.dag_key = s.dag_key
        where s.asset_key = a.asset_key order by d.dag_id
    ) as scheduled_dags,
    array(
        select d.dag_id || '.' || t.task_id from leoflow_core.task_asset as t
        join leoflow_core.dag as d on d.dag_key = t.dag_key
        where t.asset_key = a.asset_key and t.direction = 'outlet' order by 1
    ) as producing_tasks,
    array(
        select d.dag_id || '.' || t.task_id from leoflow_core.task_asset as t
        join leoflow_core.dag as d on d.dag_key = t.dag_key
        where t.asset_key = a.asset_key and t.direction = 'inlet' order by 1
    ) as consuming_tasks,
    array(
        select l.name from leoflow_core.asset_alias_asset as r
        join leoflow_core.asset_alias as l on l.alias_key = r.alias_key
        where r.asset_key = a.asset_key order by l.name
    ) as aliases,
    (
        select e.created_at from leoflow_core.asset_event as e
        where e.asset_key = a.asset_key order by e.created_at desc limit 1
    ) as last_event_at,
    a.created_at,
    a.updated_at
from leoflow_core.asset as a;
comment on view leoflow.assets is 'Assets with who makes and who waits for them.';
comment on column leoflow.assets.asset_id is 'The id in the API.';
comment on column leoflow.assets.name is 'Name; with the uri it identifies the asset.';
comment on column leoflow.assets.uri is 'Uri; with the name it identifies the asset.';
comment on column leoflow.assets."group" is 'Group, for people.';
comment on column leoflow.assets.extra is 'What its author wrote about it.';
comment on column leoflow.assets.is_active is 'Mentioned by a DAG, without conflict with another asset of its name or uri.';
comment on column leoflow.assets.scheduled_dags is 'DAGs whose schedule mentions it.';
comment on column leoflow.assets.producing_tasks is 'Tasks with it as an outlet, as dag_id.task_id.';
comment on column leoflow.assets.consuming_tasks is 'Tasks with it as an inlet, as dag_id.task_id.';
comment on column leoflow.assets.aliases is 'Aliases that were ever resolved to it.';
comment on column leoflow.assets.last_event_at is 'When it last changed.';
comment on column leoflow.assets.created_at is 'When it was first mentioned.';
comment on column leoflow.assets.updated_at is 'When its group or extra last changed.';
