-- Records the events of attempts that succeeded with outlets, in the transaction that finishes them.
--   p_outlets   a JSON array: {"run_key", "task_idx", "map_index", "outlets": [{"type", "name", "uri"}],
--               "events": [{"dest_asset_key": {"name", "uri"}, "extra", "source_alias_name", "dest_asset_extra"}]}
--   p_settled   what the attempts became: only those that succeeded make events
-- An outlet that is not active makes no event. An alias makes one for every asset the task resolved it to; an asset
-- nobody knew is created, inactive until a DAG mentions it (Airflow 3.2, register_asset_changes_in_db).
-- Locks: as record_asset_events. Callers: finish.
create or replace function leoflow_core.record_outlets(p_outlets jsonb, p_settled leoflow_core.settled[]) returns void
language plpgsql as $$
begin
    insert into leoflow_core.asset (name, uri, extra)
    select distinct on (e.name, e.uri) e.name, e.uri, e.asset_extra
    from leoflow_core.outlet_events(p_outlets, p_settled) as e
    where e.asset_key is null and e.alias_name is not null
    order by e.name, e.uri
    on conflict do nothing;

    perform leoflow_core.record_asset_events(
        array_agg(e.asset_key order by e.ord), array_agg(e.extra order by e.ord), array_agg(e.source order by e.ord),
        array_agg(e.aliases order by e.ord), array_agg(e.partition_key order by e.ord)
    )
    from (
        select
            min(o.ord) as ord, o.asset_key, o.extra, o.source, o.partition_key,
            jsonb_agg(o.alias_name) filter (where o.alias_name is not null) as aliases
        from leoflow_core.outlet_events(p_outlets, p_settled) as o
        where o.asset_key is not null
        group by o.item, o.kind, o.asset_key, o.extra, o.asset_extra, o.source, o.partition_key
    ) as e
    having count(*) > 0;
end
$$;
comment on function leoflow_core.record_outlets(jsonb, leoflow_core.settled[]) is
'Records the events of attempts that succeeded with outlets.';

-- The events that follow from the outlets of attempts, one row for each outlet, or for each asset and alias name.
-- asset_key is null for an asset that does not exist or, without an alias, is not active.
-- Locks: none. Callers: record_outlets.
create or replace function leoflow_core.outlet_events(p_outlets jsonb, p_settled leoflow_core.settled[]) returns table (
    ord bigint, item bigint, kind text, asset_key int, name text, uri text, alias_name text, extra jsonb,
    asset_extra jsonb, source jsonb, partition_key text
) language sql stable as $$
    with attempt as materialized (
        select
            i.ord as item, i.value -> 'outlets' as outlets, i.value -> 'events' as events, r.partition_key,
            jsonb_build_object('dag_id', d.dag_id, 'task_id', t.task_id, 'run_id', r.run_id, 'map_index', s.map_index)
                as source
        from jsonb_array_elements(p_outlets) with ordinality as i(value, ord)
        join unnest(p_settled) as s
            on s.run_key = (i.value ->> 'run_key')::bigint and s.task_idx = (i.value ->> 'task_idx')::int
            and s.map_index = (i.value ->> 'map_index')::int and s.state = 'success'
        join leoflow_core.dag_run as r on r.run_key = s.run_key
        join leoflow_core.dag as d on d.dag_key = r.dag_key
        join leoflow_core.task as t on t.version_key = s.version_key and t.task_idx = s.task_idx
    ),
    outlet as materialized (
        select
            o.ord + a.item * 100000 as ord, a.item, a.source, a.partition_key, a.events, o.value ->> 'type' as type,
            o.value ->> 'name' as name, o.value ->> 'uri' as uri
        from attempt as a
        cross join lateral jsonb_array_elements(a.outlets) with ordinality as o(value, ord)
    )
    select
        min(o.ord), o.item, o.type, x.asset_key, o.name, o.uri, null, coalesce((
            select e.value -> 'extra'
            from jsonb_array_elements(o.events) with ordinality as e(value, ord)
            where not e.value ? 'source_alias_name'
                and (o.name is null or e.value -> 'dest_asset_key' ->> 'name' = o.name)
                and (o.uri is null or e.value -> 'dest_asset_key' ->> 'uri' = o.uri)
            order by e.ord desc limit 1
        ), '{}'), null::jsonb, o.source, o.partition_key
    from outlet as o
    left join leoflow_core.asset as x
        on x.is_active and (o.name is null or x.name = o.name) and (o.uri is null or x.uri = o.uri)
    where (o.type = 'Asset' and o.name is not null and o.uri is not null)
        or (o.type = 'AssetNameRef' and o.name is not null) or (o.type = 'AssetUriRef' and o.uri is not null)
    group by o.item, o.type, o.name, o.uri, o.events, o.source, o.partition_key, x.asset_key
    union all
    select
        o.ord * 100000 + e.ord, o.item, o.type, x.asset_key, e.value -> 'dest_asset_key' ->> 'name',
        e.value -> 'dest_asset_key' ->> 'uri', o.name, coalesce(nullif(e.value -> 'extra', 'null'), '{}'),
        coalesce(nullif(e.value -> 'dest_asset_extra', 'null'), '{}'), o.source, o.partition_key
    from (select distinct on (o.item, o.name) o.* from outlet as o where o.type = 'AssetAlias' order by o.item, o.name) as o
    cross join lateral jsonb_array_elements(o.events) with ordinality as e(value, ord)
    left join leoflow_core.asset as x
        on x.name = e.value -> 'dest_asset_key' ->> 'name' and x.uri = e.value -> 'dest_asset_key' ->> 'uri'
    where e.value ->> 'source_alias_name' = o.name
$$;
comment on function leoflow_core.outlet_events(jsonb, leoflow_core.settled[]) is
'The events that follow from the outlets of attempts.';
