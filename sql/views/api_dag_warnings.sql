-- Contract: one row per DAG and missing pool, one per timetable that fails, one per DAG whose attempts cannot be forked,
-- and one per DAG with assets that cannot be active. The types are Airflow's, whose clients know no others. Registration
-- makes no pool and refuses none, so a task may name a pool with no slots at all; that is what a user must be told.
-- Callers: the API's warning resource.
create or replace view leoflow_core.api_dag_warnings as
select
    d.dag_id,
    'non-existent pool' as warning_type,
    format('Dag ''%s'' uses the pool ''%s'', which has no slots: its tasks will not run.', d.dag_id, p.name)
        as message,
    d.last_parsed_at as "timestamp",
    coalesce(d.display_name, d.dag_id) as dag_display_name
from leoflow_core.dag d
join lateral (
    select distinct t.pool_key from leoflow_core.task t where t.version_key = d.current_version_key
) used on true
join leoflow_core.pool p on p.pool_key = used.pool_key
where p.slots = 0 and not d.is_stale
union all
select
    d.dag_id,
    'runtime varying value',
    format('Dag ''%s'' is not scheduled, its timetable cannot say when the next run is: %s', d.dag_id, d.schedule_error),
    d.last_parsed_at,
    coalesce(d.display_name, d.dag_id)
from leoflow_core.dag d
where d.schedule_error is not null and not d.is_stale
union all
select
    d.dag_id,
    'runtime varying value',
    format(
        'Each attempt of Dag ''%s'' starts an interpreter of its own and imports the file, which takes a second or more: %s. '
        'Do it inside the tasks that need it, and they start in milliseconds.', d.dag_id, d.spawn_reason
    ),
    d.last_parsed_at,
    coalesce(d.display_name, d.dag_id)
from leoflow_core.dag d
where d.spawn_reason is not null and not d.is_stale
union all
select
    d.dag_id,
    'asset conflict' as warning_type,
    string_agg(
        format(
            'Cannot activate asset Asset(name="%s", uri="%s", group="%s"); %s is already associated to ''%s''',
            a.name, a.uri, a.asset_group, c.attribute, c.value
        ), e'\n' order by a.asset_key
    ) as message,
    max(d.last_parsed_at) as "timestamp",
    coalesce(d.display_name, d.dag_id) as dag_display_name
from leoflow_core.asset a
join lateral (
    select s.dag_key from leoflow_core.schedule_asset s where s.asset_key = a.asset_key
    union
    select t.dag_key from leoflow_core.task_asset t where t.asset_key = a.asset_key
) mentioned on true
join leoflow_core.dag d using (dag_key)
join lateral (
    select
        case when o.name = a.name then 'name' else 'uri' end as attribute,
        case when o.name = a.name then o.uri else o.name end as value
    from leoflow_core.asset o
    where o.is_active and (o.name = a.name or o.uri = a.uri)
    order by (o.name = a.name) desc
    limit 1
) c on true
where not a.is_active and not d.is_stale
group by d.dag_key, d.dag_id, d.display_name;

comment on view leoflow_core.api_dag_warnings is 'Warnings about DAGs, as the API shows them.';
