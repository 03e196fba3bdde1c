-- Records that an asset changed, from outside of any task. In the caller's own transaction: if that rolls back, it never
-- happened; at the commit the schedulers are told. The asset is named by its name, its uri, or both where an inactive
-- asset is meant. Returns the event's id.
-- Raises LF404 (no such asset), LF422 (neither name nor uri, or extra is no object). Locks: as record_asset_events.
-- Callers: operators, API, CLI.
create or replace function leoflow.create_asset_event(
    name text default null, uri text default null, extra jsonb default null, partition_key text default null
) returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_asset int;
begin
    if name is null and uri is null then
        perform leoflow_core.reject('LF422', 'name or uri must be given', 'for example name => ''orders''');
    end if;
    if jsonb_typeof(extra) <> 'object' then
        perform leoflow_core.reject('LF422', 'extra must be a JSON object', 'for example {"rows": 42}');
    end if;
    if leoflow_core.is_too_deep(extra) or length(partition_key) > 250 then
        perform leoflow_core.reject('LF422',
            'extra is nested more than 200 levels deep, or partition_key has more than 250 characters',
            'keep the data in a file or table and name it in extra');
    end if;
    select a.asset_key into v_asset from leoflow_core.asset as a
    where (name is null or a.name = name) and (uri is null or a.uri = uri)
        and (a.is_active or (name is not null and uri is not null));
    if not found then
        perform leoflow_core.reject('LF404', format('There is no asset `%s`', coalesce(name, uri)),
            'list the assets with: select * from leoflow.assets');
    end if;
    return leoflow_core.record_outside_event(v_asset, extra, partition_key);
end
$$;
comment on function leoflow.create_asset_event(text, text, jsonb, text) is
'Records that an asset changed, and returns the event''s id.';

-- Records an event that no task made and tells the schedulers at the commit.
-- Locks: as record_asset_events. Callers: create_asset_event, the API.
create or replace function leoflow_core.record_outside_event(p_asset_key int, p_extra jsonb, p_partition_key text)
returns bigint language plpgsql as $$
declare
    v_keys bigint[];
begin
    v_keys := leoflow_core.record_asset_events(
        array[p_asset_key], array[coalesce(p_extra, '{}')], array[null::jsonb], array[null::jsonb], array[p_partition_key]
    );
    notify leoflow_assets;
    return v_keys[1];
end
$$;
comment on function leoflow_core.record_outside_event(int, jsonb, text) is 'Records an event that no task made.';

-- Has queued events of a DAG, an asset, or of both not count any more towards a run, those that came before a time if
-- one is given. The next run is still told of them, as in Airflow. Returns how many events.
-- Locks: the DAGs' asset_runs advisory locks. Callers: API.
create or replace function leoflow_core.forget_queued_events(
    p_dag_key int default null, p_asset_key int default null, p_before timestamptz default null
) returns bigint language plpgsql as $$
declare
    v_forgotten bigint;
begin
    perform pg_advisory_xact_lock(leoflow_core.lock_class('asset_runs'), w.dag_key) from (
        select distinct q.dag_key from leoflow_core.asset_queue as q
        where (p_dag_key is null or q.dag_key = p_dag_key) and (p_asset_key is null or q.asset_key = p_asset_key)
        order by q.dag_key
    ) as w;
    update leoflow_core.asset_queue as q set counts = false, is_checked = false
    from (
        select o.dag_key, o.asset_key from leoflow_core.asset_queue as o
        where o.counts and (p_dag_key is null or o.dag_key = p_dag_key)
            and (p_asset_key is null or o.asset_key = p_asset_key)
        group by o.dag_key, o.asset_key
        having p_before is null or min(o.event_at) < p_before
    ) as w
    where q.dag_key = w.dag_key and q.asset_key = w.asset_key and q.counts;
    get diagnostics v_forgotten = row_count;
    return v_forgotten;
end
$$;
comment on function leoflow_core.forget_queued_events(int, int, timestamptz) is
'Has queued events not count any more towards a run.';
