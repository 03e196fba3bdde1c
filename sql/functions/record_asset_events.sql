-- Records events of assets and queues them for every DAG that waits for them. The arrays are parallel.
--   p_sources   {"dag_id", "task_id", "run_id", "map_index"} of the task that made the event, null for none
--   p_aliases   a JSON array with the names of the aliases it came through
-- Returns the keys of the events. A DAG's run is not created here: after the commit call create_asset_runs, which sees
-- all that is committed, so no event is missed when several are recorded at once.
-- Locks: the assets' and aliases' rows, shared, in key order. Callers: record_outlets, create_asset_event.
create or replace function leoflow_core.record_asset_events(
    p_asset_keys int[], p_extras jsonb[], p_sources jsonb[], p_aliases jsonb[], p_partition_keys text[]
) returns bigint[] language plpgsql as $$
declare
    v_now timestamptz := clock_timestamp();
    v_keys bigint[] := array(
        select nextval('leoflow_core.asset_event_seq') from generate_series(1, cardinality(p_asset_keys))
    );
begin
    insert into leoflow_core.asset_alias (name)
    select distinct n.name
    from unnest(p_aliases) as l(names)
    cross join lateral jsonb_array_elements_text(coalesce(l.names, '[]')) as n(name)
    order by n.name
    on conflict do nothing;
    perform from (
        select a.asset_key from leoflow_core.asset as a where a.asset_key = any(p_asset_keys) order by a.asset_key for share
    ) as locked;
    perform from (
        select a.alias_key from leoflow_core.asset_alias as a
        where a.name in (
            select n.name from unnest(p_aliases) as l(names)
            cross join lateral jsonb_array_elements_text(coalesce(l.names, '[]')) as n(name)
        )
        order by a.alias_key for share
    ) as locked;
    insert into leoflow_core.asset_event (
        event_key, asset_key, created_at, extra, source_dag_id, source_task_id, source_run_id, source_map_index, partition_key
    )
    select
        i.event_key, i.asset_key, v_now, coalesce(i.extra, '{}'), i.source ->> 'dag_id', i.source ->> 'task_id',
        i.source ->> 'run_id', coalesce((i.source ->> 'map_index')::int, -1), i.partition_key
    from unnest(v_keys, p_asset_keys, p_extras, p_sources, p_partition_keys)
        as i(event_key, asset_key, extra, source, partition_key);

    with named as materialized (
        select i.event_key, i.asset_key, a.alias_key
        from unnest(v_keys, p_asset_keys, p_aliases) as i(event_key, asset_key, names)
        cross join lateral jsonb_array_elements_text(coalesce(i.names, '[]')) as n(name)
        join leoflow_core.asset_alias as a on a.name = n.name
    ),
    remembered as (
        insert into leoflow_core.asset_event_alias (created_at, event_key, alias_key)
        select distinct v_now, n.event_key, n.alias_key from named as n
    )
    insert into leoflow_core.asset_alias_asset (alias_key, asset_key)
    select distinct n.alias_key, n.asset_key from named as n order by 1, 2
    on conflict do nothing;

    insert into leoflow_core.asset_queue (dag_key, asset_key, event_key, event_at, counts)
    select w.dag_key, w.asset_key, w.event_key, v_now, not d.is_paused
    from leoflow_core.listening_dags(v_keys, p_asset_keys, v_now) as w
    join unnest(v_keys, p_partition_keys) as i(event_key, partition_key) on i.event_key = w.event_key
    join leoflow_core.dag as d on d.dag_key = w.dag_key
    where i.partition_key is null and d.schedule ->> 'type' in ('assets', 'asset_or_time')
    order by w.dag_key, w.event_key
    on conflict do nothing;
    perform leoflow_core.queue_partition_events(v_keys, p_asset_keys, p_partition_keys, p_sources, v_now);
    return v_keys;
end
$$;
comment on function leoflow_core.record_asset_events(int[], jsonb[], jsonb[], jsonb[], text[]) is
'Records events of assets and queues them for every DAG that waits for them.';
