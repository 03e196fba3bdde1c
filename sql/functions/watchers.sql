-- Makes the watchers that a DAG's spec declares exactly the DAG's own. Those that other DAGs declare for the same assets
-- stay; in Airflow the file that was parsed last decides.
-- Locks: the DAG's watchers; the caller holds the assets advisory lock. Callers: register_assets.
create or replace function leoflow_core.register_watchers(p_dag_key int, p_leaves jsonb) returns void
language plpgsql as $$
begin
    delete from leoflow_core.asset_watcher as w
    where w.dag_key = p_dag_key and not exists (
        select from leoflow_core.watcher_definitions(p_leaves) as l
        where l.asset_key = w.asset_key and l.name = w.name
    );
    insert into leoflow_core.asset_watcher as w (dag_key, asset_key, name, classpath, kwargs)
    select p_dag_key, l.asset_key, l.name, l.classpath, l.kwargs from leoflow_core.watcher_definitions(p_leaves) as l
    on conflict (dag_key, asset_key, name) do update set
        classpath = excluded.classpath, kwargs = excluded.kwargs, trigger_key = null
    where (w.classpath, w.kwargs) is distinct from (excluded.classpath, excluded.kwargs);
end
$$;
comment on function leoflow_core.register_watchers(int, jsonb) is 'Makes the watchers of a spec exactly its DAG''s own.';

-- The watchers among leaves, each once. Locks: none. Callers: register_watchers.
create or replace function leoflow_core.watcher_definitions(p_leaves jsonb)
returns table (asset_key int, name text, classpath text, kwargs jsonb) language sql stable as $$
    select distinct on (a.asset_key, x.watcher ->> 'name')
        a.asset_key, x.watcher ->> 'name', x.watcher -> 'trigger' ->> 'classpath',
        coalesce(x.watcher -> 'trigger' -> 'kwargs', '{}')
    from jsonb_to_recordset(p_leaves) as l(type text, name text, uri text, watchers jsonb)
    join leoflow_core.asset as a on a.name = l.name and a.uri = l.uri
    cross join lateral jsonb_array_elements(coalesce(nullif(l.watchers, 'null'), '[]')) as x(watcher)
    where l.type = 'asset'
    order by a.asset_key, x.watcher ->> 'name'
$$;
comment on function leoflow_core.watcher_definitions(jsonb) is 'The watchers among leaves, each once.';

-- Decides which triggers of watchers run: those of active assets by which an unpaused DAG is scheduled (Airflow 3.2,
-- _find_active_assets), equal ones once, each for the first of the DAGs that declare it. One that is not to run any more
-- goes when its triggerer lets go of it.
-- Locks: the assets advisory lock; all triggers of watchers in key order. Callers: refresh_active_assets, set_paused,
-- pause_failing.
create or replace function leoflow_core.refresh_watchers() returns void language plpgsql as $$
declare
    v_changed boolean;
begin
    if not exists (select from leoflow_core.asset_watcher) and not exists (select from leoflow_core.watcher_trigger) then
        return;
    end if;
    perform pg_advisory_xact_lock(leoflow_core.lock_class('assets'), 0);
    perform from leoflow_core.watcher_trigger as g order by g.trigger_key for update;
    insert into leoflow_core.watcher_trigger (classpath, kwargs)
    select distinct w.classpath, w.kwargs from leoflow_core.wanted_watchers() as w
    where not exists (
        select from leoflow_core.watcher_trigger as g
        where g.classpath = w.classpath and md5(g.kwargs::text) = md5(w.kwargs::text)
    );
    update leoflow_core.asset_watcher as w set trigger_key = n.trigger_key
    from (
        select a.watcher_key, g.trigger_key
        from leoflow_core.asset_watcher as a
        left join leoflow_core.wanted_watchers() as o on o.watcher_key = a.watcher_key
        left join leoflow_core.watcher_trigger as g
            on g.classpath = o.classpath and md5(g.kwargs::text) = md5(o.kwargs::text)
    ) as n
    where w.watcher_key = n.watcher_key and w.trigger_key is distinct from n.trigger_key;
    update leoflow_core.watcher_trigger as g set version_key = n.version_key
    from (
        select t.trigger_key, first.version_key
        from leoflow_core.watcher_trigger as t
        left join lateral (
            select d.current_version_key as version_key
            from leoflow_core.asset_watcher as w
            join leoflow_core.dag as d on d.dag_key = w.dag_key
            where w.trigger_key = t.trigger_key order by w.dag_key limit 1
        ) as first on true
    ) as n
    where g.trigger_key = n.trigger_key and g.version_key is distinct from n.version_key;
    v_changed := found;
    delete from leoflow_core.watcher_trigger as g where g.version_key is null and g.triggerer_key is null;
    if v_changed then
        notify leoflow_triggers;
    end if;
end
$$;
comment on function leoflow_core.refresh_watchers() is 'Decides which triggers of watchers run.';

-- The watchers whose triggers are to run. Locks: none. Callers: refresh_watchers.
create or replace function leoflow_core.wanted_watchers() returns setof leoflow_core.asset_watcher language sql stable as $$
    select w.*
    from leoflow_core.asset_watcher as w
    join leoflow_core.asset as a on a.asset_key = w.asset_key and a.is_active
    where exists (
        select from leoflow_core.schedule_asset as s
        join leoflow_core.dag as d on d.dag_key = s.dag_key
        where s.asset_key = w.asset_key and not d.is_paused and not d.is_stale
    )
$$;
comment on function leoflow_core.wanted_watchers() is 'The watchers whose triggers are to run.';

-- Gives a triggerer up to p_limit triggers of watchers to run. Its attempt is nobody's: it says whose environment,
-- project and secrets the trigger has, and names no task. What lost triggerers held is freed by claim_triggers.
-- Raises LF410 when the triggerer has no lease.
-- Locks: the triggerer's row for key share; the triggers with SKIP LOCKED. Callers: triggerer.
create or replace function leoflow_core.claim_watchers(p_triggerer_key int, p_limit int)
returns table (trigger_key bigint, classpath text, kwargs jsonb, attempt leoflow_core.claimed_attempt)
language plpgsql as $$
#variable_conflict use_column
begin
    perform leoflow_core.require_triggerer(p_triggerer_key);
    return query
    with free as materialized (
        select g.trigger_key from leoflow_core.watcher_trigger as g
        where g.triggerer_key is null and g.version_key is not null
        order by g.trigger_key limit p_limit
        for update skip locked
    ),
    taken as (
        update leoflow_core.watcher_trigger as g
        set triggerer_key = p_triggerer_key, claimed_version_key = g.version_key
        from free as f where g.trigger_key = f.trigger_key
        returning g.trigger_key, g.classpath, g.kwargs, g.version_key
    )
    select
        t.trigger_key, t.classpath, t.kwargs, jsonb_populate_record(null::leoflow_core.claimed_attempt, jsonb_build_object(
            'version_key', v.version_key, 'dag_id', d.dag_id, 'dag_version_id', v.version_id, 'map_index', -1,
            'version_number', v.version_number, 'bundle_path', v.bundle_path, 'environment_key', v.environment_key,
            'relative_fileloc', v.relative_fileloc
        ))
    from taken as t
    join leoflow_core.dag_version as v on v.version_key = t.version_key
    join leoflow_core.dag as d on d.dag_key = v.dag_key;
end
$$;
comment on function leoflow_core.claim_watchers(int, int) is 'Gives a triggerer triggers of watchers to run.';

-- Brings a triggerer's triggers of watchers in line with the p_keys it runs: frees those it does not know of, and returns
-- those it must stop: not wanted any more, wanted with another version of their DAG, or held by others. What it still
-- hears of them counts; it says release_watchers when they have stopped. Never while it claims.
-- Locks: the rows freed. Callers: triggerer_beat.
create or replace function leoflow_core.lost_watchers(p_triggerer_key int, p_keys bigint[]) returns setof bigint
language plpgsql as $$
begin
    update leoflow_core.watcher_trigger as g set triggerer_key = null
    where g.triggerer_key = p_triggerer_key and not (g.trigger_key = any(p_keys));
    return query
    select k.trigger_key from unnest(p_keys) as k(trigger_key)
    left join leoflow_core.watcher_trigger as g on g.trigger_key = k.trigger_key
    where g.triggerer_key is distinct from p_triggerer_key or g.version_key is distinct from g.claimed_version_key;
end
$$;
comment on function leoflow_core.lost_watchers(int, bigint[]) is
'Brings a triggerer''s triggers of watchers in line with those it runs; returns which ones it must stop.';

-- A triggerer has stopped triggers of watchers: others may run them, or they go. Null: all it has.
-- Locks: the rows in key order. Callers: triggerer, register_triggerer, retire_triggerer.
create or replace function leoflow_core.release_watchers(p_triggerer_key int, p_keys bigint[] default null)
returns void language plpgsql as $$
begin
    perform from leoflow_core.watcher_trigger as g
    where g.triggerer_key = p_triggerer_key and (p_keys is null or g.trigger_key = any(p_keys))
    order by g.trigger_key for update;
    if not found then
        return;
    end if;
    delete from leoflow_core.watcher_trigger as g
    where g.triggerer_key = p_triggerer_key and (p_keys is null or g.trigger_key = any(p_keys)) and g.version_key is null;
    update leoflow_core.watcher_trigger as g set triggerer_key = null, claimed_version_key = null
    where g.triggerer_key = p_triggerer_key and (p_keys is null or g.trigger_key = any(p_keys));
    notify leoflow_triggers;
end
$$;
comment on function leoflow_core.release_watchers(int, bigint[]) is 'A triggerer has stopped triggers of watchers.';

-- Records an event of a watcher's trigger: one asset event for each asset it watches for, all or none. An event whose id
-- was recorded already changes nothing, whoever says it. Returns how many asset events; the schedulers are told at the
-- commit. Not fenced by who runs the trigger: what it took from its source is gone there.
-- Locks: the assets' rows, shared, in key order; the trigger's row. Callers: triggerer. Callers retry 40P01.
create or replace function leoflow_core.record_watcher_event(p_trigger_key bigint, p_event_id uuid, p_payload jsonb)
returns int language plpgsql as $$
declare
    v_assets int[] := array(
        select distinct w.asset_key from leoflow_core.asset_watcher as w
        where w.trigger_key = p_trigger_key order by w.asset_key
    );
    v_extra jsonb := jsonb_build_object('from_trigger', true, 'payload', p_payload); -- Airflow 3.2, Trigger.submit_event
    v_count int := cardinality(v_assets);
begin
    perform from leoflow_core.asset as a where a.asset_key = any(v_assets) order by a.asset_key for share;
    update leoflow_core.watcher_trigger as g set
        recent_events = (p_event_id || g.recent_events)[1:64], event_count = g.event_count + 1,
        last_event_at = clock_timestamp(), failed_at = null, failure = null
    where g.trigger_key = p_trigger_key and not (p_event_id = any(g.recent_events));
    if not found or v_count = 0 then
        return 0;
    end if;
    perform leoflow_core.record_asset_events(
        v_assets, array_fill(v_extra, array[v_count]), array_fill(null::jsonb, array[v_count]),
        array_fill(null::jsonb, array[v_count]), array_fill(null::text, array[v_count])
    );
    notify leoflow_assets;
    return v_count;
end
$$;
comment on function leoflow_core.record_watcher_event(bigint, uuid, jsonb) is
'Records an event of a watcher''s trigger for each asset it watches for.';

-- Notes why a watcher's trigger ended without an event. Locks: its row. Callers: triggerer.
create or replace function leoflow_core.fail_watcher(p_trigger_key bigint, p_failure text) returns void language sql as $$
    update leoflow_core.watcher_trigger as g set failed_at = clock_timestamp(), failure = left(p_failure, 4000)
    where g.trigger_key = p_trigger_key
$$;
comment on function leoflow_core.fail_watcher(bigint, text) is 'Notes why a watcher''s trigger ended without an event.';
