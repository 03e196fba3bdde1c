-- The DAGs whose schedule mentions an event's asset, the alias it came through, or its name or uri.
-- p_at: when the events were recorded. Locks: none. Callers: record_asset_events, queue_partition_events.
create or replace function leoflow_core.listening_dags(p_event_keys bigint[], p_asset_keys int[], p_at timestamptz)
returns table (dag_key int, asset_key int, event_key bigint) language sql stable as $$
    select s.dag_key, i.asset_key, i.event_key
    from unnest(p_event_keys, p_asset_keys) as i(event_key, asset_key)
    join leoflow_core.schedule_asset as s on s.asset_key = i.asset_key
    union
    select s.dag_key, i.asset_key, i.event_key
    from unnest(p_event_keys, p_asset_keys) as i(event_key, asset_key)
    join leoflow_core.asset_event_alias as l on l.created_at = p_at and l.event_key = i.event_key
    join leoflow_core.schedule_asset_alias as s on s.alias_key = l.alias_key
    union
    select s.dag_key, i.asset_key, i.event_key
    from unnest(p_event_keys, p_asset_keys) as i(event_key, asset_key)
    join leoflow_core.asset as a on a.asset_key = i.asset_key
    join leoflow_core.schedule_asset_ref as s
        on (s.kind = 'name' and s.value = a.name) or (s.kind = 'uri' and s.value = a.uri)
$$;
comment on function leoflow_core.listening_dags(bigint[], int[], timestamptz) is 'The DAGs whose schedule mentions an event''s asset.';

-- Queues events for the DAGs with a partitioned asset schedule that listen to them and are not paused. A scheduler maps
-- their keys after the commit. An event without a key starts nothing there, and the audit log says so (Airflow,
-- AssetManager._queue_partitioned_dags). The arrays are parallel. Locks: none beyond the new rows.
-- Callers: record_asset_events.
create or replace function leoflow_core.queue_partition_events(
    p_event_keys bigint[], p_asset_keys int[], p_partition_keys text[], p_sources jsonb[], p_at timestamptz
) returns void language plpgsql as $$
begin
    if not exists (select from leoflow_core.dag as d where d.schedule ->> 'type' = 'partitioned_assets') then
        return;
    end if;
    with listening as materialized (
        select w.dag_key, w.asset_key, w.event_key, d.dag_id, nullif(i.partition_key, '') as partition_key, i.source
        from leoflow_core.listening_dags(p_event_keys, p_asset_keys, p_at) as w
        join leoflow_core.dag as d on d.dag_key = w.dag_key
        join unnest(p_event_keys, p_partition_keys, p_sources) as i(event_key, partition_key, source) on i.event_key = w.event_key
        where d.schedule ->> 'type' = 'partitioned_assets' and not d.is_paused and not d.is_stale
    ),
    queued as (
        insert into leoflow_core.partition_queue (dag_key, asset_key, event_key, event_at, partition_key)
        select l.dag_key, l.asset_key, l.event_key, p_at, l.partition_key from listening as l
        where l.partition_key is not null
        order by l.dag_key, l.event_key
    )
    insert into leoflow_core.audit_log (event, dag_id, task_id, run_id, map_index, extra)
    select
        'missing partition key', l.source ->> 'dag_id', l.source ->> 'task_id', l.source ->> 'run_id',
        (l.source ->> 'map_index')::int, jsonb_build_object('asset_id', l.asset_key, 'listening_dags', jsonb_agg(l.dag_id order by l.dag_id))
    from listening as l
    where l.partition_key is null
    group by l.event_key, l.asset_key, l.source
    order by l.event_key;
end
$$;
comment on function leoflow_core.queue_partition_events(bigint[], int[], text[], jsonb[], timestamptz) is
'Queues events for the DAGs with a partitioned asset schedule that listen to them.';

-- Takes queued events whose keys must be mapped, with what that needs; whoever dies meanwhile loses them when the time is
-- over. Locks: the rows with SKIP LOCKED. Callers: scheduler; any number at once.
create or replace function leoflow_core.take_partition_events(p_limit int, p_seconds float8) returns table (
    queue_key bigint, dag_id text, schedule jsonb, asset_name text, asset_uri text, partition_key text,
    environment_key text, bundle_path text, relative_fileloc text
) language sql as $$
    with taken as (
        update leoflow_core.partition_queue as q set taken_until = clock_timestamp() + make_interval(secs => p_seconds)
        where q.queue_key in (
            select o.queue_key from leoflow_core.partition_queue as o
            where o.taken_until is null or o.taken_until < clock_timestamp()
            order by o.queue_key limit p_limit for update skip locked
        )
        returning q.queue_key, q.dag_key, q.asset_key, q.partition_key
    )
    select
        q.queue_key, d.dag_id, d.schedule, a.name, a.uri, q.partition_key, v.environment_key, v.bundle_path, v.relative_fileloc
    from taken as q
    join leoflow_core.dag as d on d.dag_key = q.dag_key
    join leoflow_core.asset as a on a.asset_key = q.asset_key
    join leoflow_core.dag_version as v on v.version_key = d.current_version_key
    order by q.queue_key
$$;
comment on function leoflow_core.take_partition_events(int, float8) is 'Takes queued events whose partition keys must be mapped.';

-- Gives a queued event to the pending run of each of the partitions its key was mapped to, or writes down why the key
-- cannot be mapped (p_error). Nothing happens if the event was dealt with already. After it, create_partitioned_runs.
-- Locks: the DAG's asset_runs advisory lock, waited for. Callers: scheduler.
create or replace function leoflow_core.add_partition_event(p_queue_key bigint, p_target_keys text[], p_error text)
returns void language plpgsql as $$
declare
    v_queued leoflow_core.partition_queue;
    v_dag_id text;
    v_schedule text;
begin
    delete from leoflow_core.partition_queue as q where q.queue_key = p_queue_key returning q.* into v_queued;
    if not found then
        return;
    end if;
    perform pg_advisory_xact_lock(leoflow_core.lock_class('asset_runs'), v_queued.dag_key);
    select d.dag_id, d.schedule ->> 'type' into v_dag_id, v_schedule from leoflow_core.dag as d where d.dag_key = v_queued.dag_key;
    if p_error is not null then
        insert into leoflow_core.audit_log (event, dag_id, task_id, run_id, map_index, extra)
        select
            'failed to map partition_key', e.source_dag_id, e.source_task_id, e.source_run_id, e.source_map_index,
            jsonb_build_object(
                'partition_key', v_queued.partition_key, 'asset', a.name, 'target_dag_id', v_dag_id, 'error', p_error
            )
        from leoflow_core.asset_event as e
        join leoflow_core.asset as a on a.asset_key = e.asset_key
        where e.created_at = v_queued.event_at and e.event_key = v_queued.event_key;
        return;
    end if;
    if v_schedule is distinct from 'partitioned_assets' then
        return; -- it has another schedule by now
    end if;
    insert into leoflow_core.asset_partition_run as r (dag_key, partition_key)
    select distinct v_queued.dag_key, t.partition_key from unnest(p_target_keys) as t(partition_key)
    on conflict (dag_key, partition_key) where run_key is null
    do update set is_checked = false, updated_at = clock_timestamp();
    insert into leoflow_core.asset_partition_event (partition_run_key, asset_key, event_key, event_at, source_partition_key)
    select r.partition_run_key, v_queued.asset_key, v_queued.event_key, v_queued.event_at, v_queued.partition_key
    from leoflow_core.asset_partition_run as r
    where r.dag_key = v_queued.dag_key and r.run_key is null and r.partition_key = any(p_target_keys);
end
$$;
comment on function leoflow_core.add_partition_event(bigint, text[], text) is
'Gives a queued event to the pending runs of its partitions.';

-- Creates the pending runs of partitions whose events satisfy their DAG's schedule, up to p_limit; returns how many. As
-- in Airflow, each partition gets its run whatever max_active_runs says: those without room are queued.
-- Locks: per DAG the asset_runs advisory lock; as create_run. After the commit call wake_workers(). Callers: scheduler.
create or replace function leoflow_core.create_partitioned_runs(p_limit int default 100) returns int language plpgsql as $$
declare
    v_pending record;
    v_dag leoflow_core.dag;
    v_run bigint;
    v_created int := 0;
begin
    for v_pending in
        select r.partition_run_key, r.dag_key, r.partition_key from leoflow_core.asset_partition_run as r
        where r.run_key is null and not r.is_checked order by r.dag_key, r.partition_run_key limit p_limit
    loop
        perform pg_advisory_xact_lock(leoflow_core.lock_class('asset_runs'), v_pending.dag_key);
        perform from leoflow_core.asset_partition_run as r
        where r.partition_run_key = v_pending.partition_run_key and r.run_key is null for update;
        continue when not found;
        select d.* into v_dag from leoflow_core.dag as d where d.dag_key = v_pending.dag_key;
        v_run := null;
        if v_dag.schedule ->> 'type' = 'partitioned_assets' and leoflow_core.asset_condition_met(
            v_dag.schedule -> 'expression', array(
                select distinct e.asset_key from leoflow_core.asset_partition_event as e
                where e.partition_run_key = v_pending.partition_run_key
            )
        ) then
            v_run := leoflow_core.create_partitioned_run(v_dag, v_pending.partition_run_key, v_pending.partition_key);
        end if;
        update leoflow_core.asset_partition_run as r set is_checked = true, run_key = v_run, updated_at = clock_timestamp()
        where r.partition_run_key = v_pending.partition_run_key;
        if v_run is not null then
            v_created := v_created + 1;
        end if;
    end loop;
    return v_created;
end
$$;
comment on function leoflow_core.create_partitioned_runs(int) is
'Creates the pending runs of partitions whose events satisfy their DAG''s schedule.';

-- Creates the run of a partition, which is told of its events. Returns its key, null if the DAG cannot run: the events
-- stay, and it is tried again when another one comes or the DAG is registered. Locks: as create_run; the caller holds
-- the DAG's asset_runs lock. Callers: create_partitioned_runs.
create or replace function leoflow_core.create_partitioned_run(
    p_dag leoflow_core.dag, p_partition_run_key bigint, p_partition_key text
) returns bigint language plpgsql as $$
declare
    v_run bigint;
    v_now timestamptz := clock_timestamp();
begin
    select c.run_key into v_run from leoflow_core.create_run(
        p_dag_id => p_dag.dag_id, p_run_type => 'asset_triggered', p_run_after => v_now, p_triggered_by => 'asset',
        p_run_id => 'asset_triggered__' || leoflow_core.isoformat(v_now) || '_' || leoflow_core.random_suffix(),
        p_partition_key => p_partition_key
    ) as c;
    insert into leoflow_core.dag_run_asset_event (run_key, event_key, event_at)
    select v_run, e.event_key, e.event_at from leoflow_core.asset_partition_event as e
    where e.partition_run_key = p_partition_run_key;
    return v_run;
exception when sqlstate 'LF404' or sqlstate 'LF409' or sqlstate 'LF422' then
    raise warning 'no run of partition % of DAG %: %', p_partition_key, p_dag.dag_id, sqlerrm;
    return null;
end
$$;
comment on function leoflow_core.create_partitioned_run(leoflow_core.dag, bigint, text) is 'Creates the run of a partition.';

-- Has the pending runs of a DAG's partitions evaluated again: its schedule may be another one.
-- Locks: those rows. Callers: queue_earlier_events.
create or replace function leoflow_core.recheck_partitioned_runs(p_dag_key int) returns void language plpgsql as $$
begin
    update leoflow_core.asset_partition_run as r set is_checked = false
    where r.dag_key = p_dag_key and r.run_key is null and r.is_checked;
    if found then
        notify leoflow_assets;
    end if;
end
$$;
comment on function leoflow_core.recheck_partitioned_runs(int) is 'Has the pending runs of a DAG''s partitions evaluated again.';

-- What the id of a run of a CronPartitionTimetable ends in, since several may have one run_after: its partition, unless
-- it is a run by hand, and random characters (Airflow, CronPartitionTimetable.generate_run_id). Empty for other schedules.
-- Locks: none. Callers: create_run, insert_backfill_runs.
create or replace function leoflow_core.partition_suffix(p_schedule jsonb, p_run_type text, p_partition_key text) returns text
language sql volatile as $$
    select case when p_schedule ->> 'type' = 'cron_partition' then
        case when p_run_type in ('scheduled', 'backfill') then coalesce('__' || p_partition_key, '') else '' end
            || '__' || leoflow_core.random_suffix()
    else '' end
$$;
comment on function leoflow_core.partition_suffix(jsonb, text, text) is
'What the id of a run of a CronPartitionTimetable ends in.';
