-- Makes the assets of a DAG's schedule, inlets and outlets known, and what the DAG refers to exactly these.
-- Events that an asset had before the schedule asked for it do not start a run, but the next run is told of them, as
-- in Airflow; of each asset the last 1,000 since the DAG's last run that assets started.
-- Raises LF422 for a name or uri that is too long.
-- Locks: the assets advisory lock; the DAG's asset_runs advisory lock; assets and aliases that are new in the schedule,
-- in key order: an event that is being recorded is either seen here, or its transaction sees the new schedule.
-- Callers: register_version, deactivate_dag (with null).
create or replace function leoflow_core.register_assets(p_dag_key int, p_spec jsonb) returns void language plpgsql as $$
declare
    v_leaves jsonb := leoflow_core.spec_assets(p_spec);
    v_new int[];
    v_new_aliases int[];
begin
    if v_leaves = '[]'::jsonb
        and not exists (select from leoflow_core.schedule_asset as s where s.dag_key = p_dag_key)
        and not exists (select from leoflow_core.schedule_asset_alias as s where s.dag_key = p_dag_key)
        and not exists (select from leoflow_core.schedule_asset_ref as s where s.dag_key = p_dag_key)
        and not exists (select from leoflow_core.task_asset as t where t.dag_key = p_dag_key)
    then
        return;
    end if;
    perform pg_advisory_xact_lock(leoflow_core.lock_class('assets'), 0);
    perform leoflow_core.name_assets(v_leaves);
    perform leoflow_core.register_watchers(p_dag_key, v_leaves);

    delete from leoflow_core.task_asset as t where t.dag_key = p_dag_key and not exists (
        select from jsonb_to_recordset(v_leaves) as l(task_id text, direction text, name text, uri text)
        join leoflow_core.asset as a on a.name = l.name and a.uri = l.uri
        where l.task_id = t.task_id and l.direction = t.direction and a.asset_key = t.asset_key
    );
    insert into leoflow_core.task_asset (dag_key, task_id, asset_key, direction)
    select distinct p_dag_key, l.task_id, a.asset_key, l.direction
    from jsonb_to_recordset(v_leaves) as l(task_id text, direction text, type text, name text, uri text)
    join leoflow_core.asset as a on a.name = l.name and a.uri = l.uri
    where l.type = 'asset' and l.task_id is not null
    on conflict do nothing;

    delete from leoflow_core.schedule_asset as s where s.dag_key = p_dag_key and not exists (
        select from jsonb_to_recordset(v_leaves) as l(task_id text, type text, name text, uri text)
        join leoflow_core.asset as a on a.name = l.name and a.uri = l.uri
        where l.task_id is null and l.type = 'asset' and a.asset_key = s.asset_key
    );
    delete from leoflow_core.schedule_asset_alias as s where s.dag_key = p_dag_key and not exists (
        select from jsonb_to_recordset(v_leaves) as l(task_id text, type text, name text)
        join leoflow_core.asset_alias as a on a.name = l.name
        where l.task_id is null and l.type = 'alias' and a.alias_key = s.alias_key
    );
    delete from leoflow_core.schedule_asset_ref as s where s.dag_key = p_dag_key and not exists (
        select from jsonb_to_recordset(v_leaves) as l(task_id text, type text, name text, uri text)
        where l.task_id is null and l.type = s.kind || '_ref' and coalesce(l.name, l.uri) = s.value
    );
    select array_agg(a.asset_key) into v_new from (
        select a.asset_key
        from jsonb_to_recordset(v_leaves) as l(task_id text, type text, name text, uri text)
        join leoflow_core.asset as a on a.name = l.name and a.uri = l.uri
        where l.task_id is null and l.type = 'asset' and not exists (
            select from leoflow_core.schedule_asset as s where s.dag_key = p_dag_key and s.asset_key = a.asset_key
        )
        order by a.asset_key
        for no key update of a
    ) as a;
    select array_agg(a.alias_key) into v_new_aliases from (
        select a.alias_key
        from jsonb_to_recordset(v_leaves) as l(task_id text, type text, name text)
        join leoflow_core.asset_alias as a on a.name = l.name
        where l.task_id is null and l.type = 'alias' and not exists (
            select from leoflow_core.schedule_asset_alias as s where s.dag_key = p_dag_key and s.alias_key = a.alias_key
        )
        order by a.alias_key
        for no key update of a
    ) as a;
    insert into leoflow_core.schedule_asset (dag_key, asset_key)
    select p_dag_key, n.asset_key from unnest(v_new) as n(asset_key) on conflict do nothing;
    insert into leoflow_core.schedule_asset_alias (dag_key, alias_key)
    select p_dag_key, n.alias_key from unnest(v_new_aliases) as n(alias_key) on conflict do nothing;
    insert into leoflow_core.schedule_asset_ref (dag_key, kind, value)
    select distinct p_dag_key, replace(l.type, '_ref', ''), coalesce(l.name, l.uri)
    from jsonb_to_recordset(v_leaves) as l(task_id text, type text, name text, uri text)
    where l.task_id is null and l.type in ('name_ref', 'uri_ref')
    on conflict do nothing;

    perform leoflow_core.queue_earlier_events(p_dag_key, v_new, v_new_aliases, p_spec is not null);
    perform leoflow_core.refresh_active_assets();
end
$$;
comment on function leoflow_core.register_assets(int, jsonb) is
'Makes the assets of a DAG known, and what it refers to exactly these.';

-- Every asset, alias and reference a spec mentions, as a JSON array of the leaves; those of inlets and outlets carry
-- their task_id and direction. Locks: none. Callers: register_assets.
create or replace function leoflow_core.spec_assets(p_spec jsonb) returns jsonb language sql immutable as $$
    select coalesce(jsonb_agg(l.leaf), '[]') from (
        select leaf from leoflow_core.asset_leaves(p_spec -> 'schedule' -> 'expression') as s(leaf)
        union all
        select a.leaf || jsonb_build_object('task_id', t.spec ->> 'task_id', 'direction', d.direction)
        from jsonb_array_elements(coalesce(p_spec -> 'tasks', '[]')) as t(spec)
        cross join lateral (
            values ('inlet', coalesce(nullif(t.spec -> 'inlets', 'null'), '[]')), ('outlet', coalesce(nullif(t.spec -> 'outlets', 'null'), '[]'))
        ) as d(direction, nodes)
        cross join lateral jsonb_array_elements(d.nodes) as n(node)
        cross join lateral leoflow_core.asset_leaves(n.node) as a(leaf)
    ) as l
$$;
comment on function leoflow_core.spec_assets(jsonb) is 'Every asset, alias and reference a spec mentions.';

-- Creates the assets and aliases among leaves, or updates them. Raises LF422.
-- Locks: the assets' rows that change; the caller holds the assets advisory lock. Callers: register_assets.
create or replace function leoflow_core.name_assets(p_leaves jsonb) returns void language plpgsql as $$
declare
    v_long text;
begin
    select coalesce(l.name, l.uri) into v_long from jsonb_to_recordset(p_leaves) as l(name text, uri text)
    where length(l.name) > 1300 or length(l.uri) > 1300 limit 1;
    if found then
        perform leoflow_core.reject('LF422',
            format('the name or uri of an asset has more than 1300 characters: %s…', left(v_long, 60)), 'shorten it');
    end if;
    update leoflow_core.asset as a set asset_group = l.asset_group, extra = l.extra, updated_at = clock_timestamp()
    from leoflow_core.asset_definitions(p_leaves) as l
    where a.name = l.name and a.uri = l.uri and (a.asset_group, a.extra) is distinct from (l.asset_group, l.extra);
    insert into leoflow_core.asset (name, uri, asset_group, extra) -- one that meets a conflict would use up a number
    select l.name, l.uri, l.asset_group, l.extra
    from leoflow_core.asset_definitions(p_leaves) as l
    where not exists (select from leoflow_core.asset as a where a.name = l.name and a.uri = l.uri)
    order by l.first
    on conflict do nothing;
    update leoflow_core.asset_alias as a set asset_group = l.asset_group
    from leoflow_core.alias_definitions(p_leaves) as l
    where a.name = l.name and a.asset_group is distinct from l.asset_group;
    insert into leoflow_core.asset_alias (name, asset_group)
    select l.name, l.asset_group
    from leoflow_core.alias_definitions(p_leaves) as l
    where not exists (select from leoflow_core.asset_alias as a where a.name = l.name)
    order by l.first
    on conflict do nothing;
end
$$;
comment on function leoflow_core.name_assets(jsonb) is 'Creates or updates the assets and aliases among leaves.';

-- The assets among leaves, each once as it is mentioned last; first is where it is mentioned first.
-- Locks: none. Callers: name_assets.
create or replace function leoflow_core.asset_definitions(p_leaves jsonb)
returns table (name text, uri text, asset_group text, extra jsonb, first bigint) language sql stable as $$
    select distinct on (l.name, l.uri)
        l.name, l.uri, coalesce(l."group", 'asset'), coalesce(nullif(l.extra, 'null'), '{}'),
        min(n.ord) over (partition by l.name, l.uri)
    from jsonb_array_elements(p_leaves) with ordinality as n(leaf, ord)
    cross join lateral jsonb_to_record(n.leaf) as l(type text, name text, uri text, "group" text, extra jsonb)
    where l.type = 'asset'
    order by l.name, l.uri, n.ord desc
$$;
comment on function leoflow_core.asset_definitions(jsonb) is 'The assets among leaves, each once.';

-- The aliases among leaves, likewise. Locks: none. Callers: name_assets.
create or replace function leoflow_core.alias_definitions(p_leaves jsonb)
returns table (name text, asset_group text, first bigint) language sql stable as $$
    select distinct on (l.name)
        l.name, coalesce(nullif(l."group", ''), 'asset'), min(n.ord) over (partition by l.name)
    from jsonb_array_elements(p_leaves) with ordinality as n(leaf, ord)
    cross join lateral jsonb_to_record(n.leaf) as l(type text, name text, "group" text)
    where l.type = 'alias'
    order by l.name, n.ord desc
$$;
comment on function leoflow_core.alias_definitions(jsonb) is 'The aliases among leaves, each once.';

-- Brings the queue of a DAG in line with its schedule: forgets events of assets the schedule no longer mentions, adds
-- earlier events of those it mentions newly, and has the schedule evaluated again. A DAG that is gone keeps its queue.
-- Locks: the DAG's asset_runs advisory lock. Callers: register_assets.
create or replace function leoflow_core.queue_earlier_events(
    p_dag_key int, p_asset_keys int[], p_alias_keys int[], p_is_present boolean
) returns void language plpgsql as $$
declare
    v_since timestamptz;
    v_is_partitioned boolean;
begin
    perform pg_advisory_xact_lock(leoflow_core.lock_class('asset_runs'), p_dag_key);
    if not p_is_present then
        return;
    end if;
    select d.schedule ->> 'type' = 'partitioned_assets' into v_is_partitioned from leoflow_core.dag as d where d.dag_key = p_dag_key;
    delete from leoflow_core.asset_queue as q
    where q.dag_key = p_dag_key and (v_is_partitioned is true or not exists (
        select from leoflow_core.schedule_asset as s where s.dag_key = p_dag_key and s.asset_key = q.asset_key
        union all
        select from leoflow_core.schedule_asset_alias as s
        join leoflow_core.asset_alias_asset as r on r.alias_key = s.alias_key
        where s.dag_key = p_dag_key and r.asset_key = q.asset_key
        union all
        select from leoflow_core.schedule_asset_ref as s
        join leoflow_core.asset as a on s.value = case s.kind when 'name' then a.name else a.uri end
        where s.dag_key = p_dag_key and a.asset_key = q.asset_key
    ));
    select max(r.run_after) into v_since from leoflow_core.dag_run as r
    where r.dag_key = p_dag_key and r.run_type = 'asset_triggered';
    insert into leoflow_core.asset_queue (dag_key, asset_key, event_key, event_at, counts)
    select p_dag_key, e.asset_key, e.event_key, e.created_at, false
    from unnest(case when v_is_partitioned then null else p_asset_keys end) as n(asset_key)
    cross join lateral (
        select e.asset_key, e.event_key, e.created_at from leoflow_core.asset_event as e
        where e.asset_key = n.asset_key and e.created_at > coalesce(v_since, '-infinity')
        order by e.created_at desc limit 1000
    ) as e
    on conflict do nothing;
    insert into leoflow_core.asset_queue (dag_key, asset_key, event_key, event_at, counts)
    select p_dag_key, e.asset_key, e.event_key, e.created_at, false
    from unnest(case when v_is_partitioned then null else p_alias_keys end) as n(alias_key)
    cross join lateral (
        select e.asset_key, e.event_key, e.created_at
        from leoflow_core.asset_event_alias as l
        join leoflow_core.asset_event as e on e.created_at = l.created_at and e.event_key = l.event_key
        where l.alias_key = n.alias_key and l.created_at > coalesce(v_since, '-infinity')
        order by l.created_at desc limit 1000
    ) as e
    on conflict do nothing;
    update leoflow_core.asset_queue as q set is_checked = false where q.dag_key = p_dag_key and q.is_checked;
    perform leoflow_core.recheck_partitioned_runs(p_dag_key);
    if exists (select from leoflow_core.asset_queue as q where q.dag_key = p_dag_key and q.counts) then
        notify leoflow_assets;
    end if;
end
$$;
comment on function leoflow_core.queue_earlier_events(int, int[], int[], boolean) is
'Brings the queue of a DAG in line with its schedule.';
