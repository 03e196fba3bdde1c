-- What running tasks ask about assets and their events: statements of leoflow/execution.

-- name: asset
-- The active asset of a name or a uri.
select asset.name, asset.uri, asset.asset_group, asset.extra
from leoflow_core.asset
where
    asset.is_active
    and (%(name)s::text is null or asset.name = %(name)s) and (%(uri)s::text is null or asset.uri = %(uri)s);

-- name: asset_events
-- Events that came through an alias; else those of an asset by name and uri, or of the active asset of either. As the
-- Task SDK's `AssetEventResponse`.
select
    event.id, event.timestamp, event.extra, event.created_dagruns, event.source_task_id, event.source_dag_id,
    event.source_run_id, event.source_map_index, event.partition_key, asset.name, asset.uri, asset.asset_group, asset.extra
from (
    select asset_event_alias.created_at, asset_event_alias.event_key
    from leoflow_core.asset_alias
    join leoflow_core.asset_event_alias on asset_event_alias.alias_key = asset_alias.alias_key
    where asset_alias.name = %(alias_name)s
    union all
    select asset_event.created_at, asset_event.event_key
    from leoflow_core.asset
    join leoflow_core.asset_event on asset_event.asset_key = asset.asset_key
    where
        %(alias_name)s::text is null
        and (%(name)s::text is null or asset.name = %(name)s) and (%(uri)s::text is null or asset.uri = %(uri)s)
        and (asset.is_active or (%(name)s::text is not null and %(uri)s::text is not null))
) as chosen
join leoflow_core.api_asset_events as event on event.timestamp = chosen.created_at and event.id = chosen.event_key
join leoflow_core.asset on asset.asset_key = event.asset_id
where
    (%(after)s::timestamptz is null or event.timestamp >= %(after)s)
    and (%(before)s::timestamptz is null or event.timestamp <= %(before)s)
order by
    case when %(ascending)s then event.timestamp end, case when %(ascending)s then event.id end,
    event.timestamp desc, event.id desc
limit nullif(%(limit)s::bigint, 0);

-- name: consumed_asset_events
-- The events that made a run, oldest first.
select
    asset.name, asset.uri, asset.extra, event.extra, event.source_task_id, event.source_dag_id, event.source_run_id,
    event.source_map_index,
    coalesce((
        select jsonb_agg(jsonb_build_object('name', asset_alias.name) order by asset_alias.name)
        from leoflow_core.asset_event_alias
        join leoflow_core.asset_alias on asset_alias.alias_key = asset_event_alias.alias_key
        where asset_event_alias.event_key = event.event_key
    ), '[]') as source_aliases,
    event.created_at
from leoflow_core.dag_run_asset_event as consumed
join leoflow_core.asset_event as event
    on event.created_at = consumed.event_at and event.event_key = consumed.event_key
join leoflow_core.asset on asset.asset_key = event.asset_key
where consumed.run_key = %(run_key)s
order by event.created_at, event.event_key;

-- name: inactive_assets
-- The assets among a task's inlets and outlets that are not active.
select distinct leaf.value ->> 'name' as name, leaf.value ->> 'uri' as uri
from leoflow_core.task
cross join
    lateral jsonb_array_elements(
        coalesce(nullif(task.spec -> 'inlets', 'null'), '[]') || coalesce(nullif(task.spec -> 'outlets', 'null'), '[]')
    ) as leaf (value)
where
    task.version_key = %(version_key)s and task.task_idx = %(task_idx)s and leaf.value ->> 'type' = 'asset'
    and not exists (
        select from leoflow_core.asset
        where asset.is_active and asset.name = leaf.value ->> 'name' and asset.uri = leaf.value ->> 'uri'
    );
