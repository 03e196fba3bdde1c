-- Reads of the UI's private API. Parameters are named.

-- name: recent_runs
-- The newest runs of each of some DAGs.
select
    r.run_key as id, r.dag_id, r.run_id, r.logical_date, r.run_after, r.start_date, r.end_date,
    r.state::text as state, r.duration
from unnest(%(dag_keys)s::int[]) with ordinality as k (dag_key, position)
cross join
    lateral (
        select u.* from leoflow_core.ui_dag_run as u
        where u.dag_key = k.dag_key
        order by u.run_after desc, u.run_key desc
        limit %(limit)s
    ) as r
order by k.position, r.run_after desc, r.run_key desc;

-- name: latest_run
select
    r.run_key as id, r.dag_id, r.run_id, r.logical_date, r.run_after, r.start_date, r.end_date,
    r.state::text as state, r.duration
from leoflow_core.ui_dag_run as r
where r.dag_key = (select d.dag_key from leoflow_core.dag as d where d.dag_id = %(dag_id)s)
order by r.run_after desc, r.run_key desc
limit 1;

-- name: favorites
select f.dag_key from leoflow_core.favorite as f
where f.user_name = %(user_name)s and f.dag_key = any(%(dag_keys)s);

-- name: dag_key
select d.dag_key from leoflow_core.dag as d where d.dag_id = %(dag_id)s;

-- name: dag_stats
-- Active DAGs, and DAGs by the state of the run with the latest logical date.
with latest as (
    select l.state
    from leoflow_core.dag as d
    cross join
        lateral (
            select r.state from leoflow_core.dag_run as r
            where r.dag_key = d.dag_key and r.logical_date is not null
            order by r.logical_date desc
            limit 1
        ) as l
    where not d.is_stale
)
select
    (select count(*) from leoflow_core.dag as d where not d.is_stale and not d.is_paused) as active_dag_count,
    count(*) filter (where latest.state = 'failed') as failed_dag_count,
    count(*) filter (where latest.state = 'running') as running_dag_count,
    count(*) filter (where latest.state = 'queued') as queued_dag_count
from latest;

-- name: run_state_counts
-- Runs of a time range by state; a run that has not started or ended counts as doing so now.
select r.state::text as state, least(count(*), %(cap)s) as count
from leoflow_core.dag_run as r
where
    coalesce(r.start_date, clock_timestamp()) >= %(start_date)s
    and coalesce(r.end_date, clock_timestamp()) <= coalesce(%(end_date)s::timestamptz, clock_timestamp())
group by r.state;

-- name: instance_state_counts
-- Task instances of those runs by state. At most %(scan)s rows are looked at, so that a busy day stays cheap.
select coalesce(s.state::text, 'no_status') as state, least(count(*), %(cap)s) as count
from (
    select i.state
    from leoflow_core.dag_run as r
    inner join leoflow_core.all_task_instances as i on r.run_key = i.run_key
    where
        coalesce(r.start_date, clock_timestamp()) >= %(start_date)s
        and coalesce(r.end_date, clock_timestamp()) <= coalesce(%(end_date)s::timestamptz, clock_timestamp())
    limit %(scan)s
) as s
group by s.state;

-- name: current_version
select d.current_version_key from leoflow_core.dag as d where d.dag_id = %(dag_id)s;

-- name: version_by_number
select v.version_key
from leoflow_core.dag_version as v
inner join leoflow_core.dag as d on v.dag_key = d.dag_key
where d.dag_id = %(dag_id)s and v.version_number = %(version_number)s;

-- name: specs
-- The specs of some versions, without the source text.
select v.version_key, v.spec - 'source' as spec
from leoflow_core.dag_version as v
where v.version_key = any(%(version_keys)s);

-- name: summarised_runs
select r.run_key, r.run_id, r.version_key
from leoflow_core.dag_run as r
inner join leoflow_core.dag as d on r.dag_key = d.dag_key
where d.dag_id = %(dag_id)s and r.run_id = any(%(run_ids)s);

-- name: instance_summaries
-- Task instances of a run, counted by task and state.
select
    t.task_id, coalesce(t.display_name, t.task_id) as task_display_name, i.state::text as state,
    count(*) as count, min(i.start_date) as min_start_date, max(i.end_date) as max_end_date,
    max(v.version_number) as version_number
from leoflow_core.all_task_instances as i
inner join leoflow_core.task as t on i.version_key = t.version_key and i.task_idx = t.task_idx
inner join leoflow_core.dag_version as v on i.version_key = v.version_key
where i.run_key = %(run_key)s
group by t.task_id, t.display_name, i.state;

-- name: tries
-- All tries of the unmapped tasks of a run.
select u.task_id, u.task_display_name, u.try_number, u.state, u.scheduled_dttm, u.queued_dttm, u.start_date, u.end_date
from leoflow_core.ui_task_try as u
where
    u.run_key = (
        select r.run_key from leoflow_core.dag_run as r
        inner join leoflow_core.dag as d on r.dag_key = d.dag_key
        where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s
    ) and u.map_index = -1
order by u.task_id, u.try_number;

-- name: calendar
-- Runs of a DAG by time unit and state, and the last data interval of each group; runs of a partition by its date, and
-- the last moment from which one could start.
select
    date_trunc(%(unit)s, coalesce(r.partition_date, r.logical_date), 'UTC') as date, r.state::text as state, count(*) as count,
    max(case when r.partition_date is null then r.data_interval_start else r.run_after end) as data_interval_start,
    max(case when r.partition_date is null then r.data_interval_end else r.run_after end) as data_interval_end
from leoflow_core.dag_run as r
inner join leoflow_core.dag as d on r.dag_key = d.dag_key
where
    d.dag_id = %(dag_id)s
    and (%(gte)s::timestamptz is null or coalesce(r.partition_date, r.logical_date) >= %(gte)s)
    and (%(gt)s::timestamptz is null or coalesce(r.partition_date, r.logical_date) > %(gt)s)
    and (%(lte)s::timestamptz is null or coalesce(r.partition_date, r.logical_date) <= %(lte)s)
    and (%(lt)s::timestamptz is null or coalesce(r.partition_date, r.logical_date) < %(lt)s)
group by 1, 2
order by 1, 2;

-- name: schedule
select
    d.schedule, leoflow_core.asset_expression(d.schedule -> 'expression') as asset_expression,
    d.start_date, d.end_date, clock_timestamp() as now
from leoflow_core.dag as d
where d.dag_id = %(dag_id)s;

-- name: linked_tasks
-- Tasks of current versions that start runs of another DAG, or wait for one.
select
    d.dag_id, t.task_id, coalesce(t.display_name, t.task_id) as label,
    case t.operator when 'TriggerDagRunOperator' then 'trigger' else 'sensor' end as kind,
    coalesce(t.spec -> 'call_args' ->> 'trigger_dag_id', t.spec -> 'call_args' ->> 'external_dag_id') as other
from leoflow_core.dag as d
inner join leoflow_core.task as t on d.current_version_key = t.version_key
where
    not d.is_stale and t.operator in ('TriggerDagRunOperator', 'ExternalTaskSensor')
    and coalesce(t.spec -> 'call_args' ->> 'trigger_dag_id', t.spec -> 'call_args' ->> 'external_dag_id') is not null
order by d.dag_id, t.task_id;

-- name: deadline_count
select count(*) from leoflow_core.deadline as l where l.run_key = %(run_key)s;

-- name: asset_mentions
-- Assets, aliases and references in the schedules (without task_id) and outlets of current versions, with the asset
-- each stands for; an alias once for each asset it was resolved to. References in outlets are left out, as in Airflow.
select
    d.dag_id, m.task_id, m.leaf ->> 'type' as type, m.leaf ->> 'name' as name, m.leaf ->> 'uri' as uri,
    a.asset_key as asset_id, a.name as asset_name
from leoflow_core.dag as d
cross join
    lateral (
        select null as task_id, s.leaf
        from leoflow_core.asset_leaves(d.schedule -> 'expression') as s (leaf)
        union all
        select t.task_id, o.leaf
        from leoflow_core.task as t
        cross join lateral jsonb_array_elements(coalesce(nullif(t.spec -> 'outlets', 'null'), '[]')) as n (node)
        cross join lateral leoflow_core.asset_leaves(n.node) as o (leaf)
        where t.version_key = d.current_version_key and o.leaf ->> 'type' in ('asset', 'alias')
    ) as m
left join
    lateral (
        select x.asset_key, x.name
        from leoflow_core.asset as x
        where
            m.leaf ->> 'type' <> 'alias'
            and (m.leaf ->> 'name' is null or x.name = m.leaf ->> 'name')
            and (m.leaf ->> 'uri' is null or x.uri = m.leaf ->> 'uri')
            and (x.is_active or m.leaf ->> 'type' = 'asset')
        union all
        select x.asset_key, x.name
        from leoflow_core.asset_alias as l
        inner join leoflow_core.asset_alias_asset as r on l.alias_key = r.alias_key
        inner join leoflow_core.asset as x on r.asset_key = x.asset_key
        where m.leaf ->> 'type' = 'alias' and l.name = m.leaf ->> 'name'
    ) as a
    on true
where not d.is_stale
order by d.dag_id;

-- name: asset_names
select a.asset_key as id, a.name from leoflow_core.asset as a;

-- name: task_assets
-- Which tasks make and read which assets.
select t.asset_key as asset_id, t.direction, d.dag_id, t.task_id
from leoflow_core.task_asset as t
inner join leoflow_core.dag as d on t.dag_key = d.dag_key
order by t.asset_key, t.direction, d.dag_id, t.task_id;

-- name: next_run_assets
-- The active assets in the schedule of a DAG, with the last of the events that wait to make a run.
select
    a.asset_key as id, a.uri, a.name, greatest(
        max(q.event_at) filter (where q.counts),
        (
            select max(e.event_at)
            from leoflow_core.asset_partition_run as r
            inner join leoflow_core.asset_partition_event as e on r.partition_run_key = e.partition_run_key
            where r.dag_key = d.dag_key and r.run_key is null and e.asset_key = a.asset_key
        )
    ) as "lastUpdate"
from leoflow_core.dag as d
inner join leoflow_core.schedule_asset as s on d.dag_key = s.dag_key
inner join leoflow_core.asset as a on s.asset_key = a.asset_key
left join leoflow_core.asset_queue as q on d.dag_key = q.dag_key and a.asset_key = q.asset_key
where d.dag_id = %(dag_id)s and a.is_active
group by d.dag_key, a.asset_key, a.uri, a.name
order by a.uri;

-- name: pending_partitions
select count(*) as count
from leoflow_core.asset_partition_run as r
inner join leoflow_core.dag as d on r.dag_key = d.dag_key
where d.dag_id = %(dag_id)s and r.run_key is null;

-- name: partitioned_runs
-- Runs of partitions that events asked for, newest first: of how many of the schedule's active assets there are events.
select
    r.partition_run_key as id, d.dag_id, r.partition_key, r.created_at, r.updated_at, o.run_id as created_dag_run_id,
    coalesce(o.state::text, 'pending') as state, n.required as total_required, n.received as total_received,
    leoflow_core.asset_expression(d.schedule -> 'expression') as asset_expression
from leoflow_core.asset_partition_run as r
inner join leoflow_core.dag as d on r.dag_key = d.dag_key
left join leoflow_core.dag_run as o on r.run_key = o.run_key
cross join
    lateral (
        select
            count(*) as required, count(*) filter (
                where exists (
                    select from leoflow_core.asset_partition_event as e
                    where e.partition_run_key = r.partition_run_key and e.asset_key = s.asset_key
                )
            ) as received
        from leoflow_core.schedule_asset as s
        inner join leoflow_core.asset as a on s.asset_key = a.asset_key
        where s.dag_key = d.dag_key and a.is_active
    ) as n
where
    (%(dag_id)s::text is null or d.dag_id = %(dag_id)s)
    and (%(partition_key)s::text is null or r.partition_key = %(partition_key)s)
    and (%(has_run)s::boolean is null or (r.run_key is not null) = %(has_run)s)
order by r.created_at desc, r.partition_run_key desc
limit 1000;

-- name: partition_assets
-- The active assets of a schedule, and whether events of them wait in a pending run; those that lack come first.
select x.asset_id, x.asset_name, x.asset_uri, x.received
from (
    select
        a.asset_key as asset_id, a.name as asset_name, a.uri as asset_uri, exists (
            select from leoflow_core.asset_partition_event as e
            where e.partition_run_key = %(id)s and e.asset_key = a.asset_key
        ) as received
    from leoflow_core.asset_partition_run as r
    inner join leoflow_core.schedule_asset as s on r.dag_key = s.dag_key
    inner join leoflow_core.asset as a on s.asset_key = a.asset_key
    where r.partition_run_key = %(id)s and a.is_active
) as x
order by x.received, x.asset_uri;

-- name: run_key
select r.run_key
from leoflow_core.dag_run as r
inner join leoflow_core.dag as d on r.dag_key = d.dag_key
where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s;
