-- Statements of leoflow/scheduler. All times are the database's.

-- name: claim_unplanned
-- DAGs whose schedule is new or changed, with the interval of their latest scheduled run.
select
    d.dag_key, d.dag_id, d.schedule, d.start_date, d.end_date, d.catchup,
    d.next_data_interval_start as next_start, d.next_data_interval_end as next_end, d.next_run_after, d.next_run_id,
    d.next_partition_key, d.next_partition_date,
    false as is_custom,
    l.last_start, l.last_end, statement_timestamp() as now
from leoflow_core.dag as d
cross join lateral leoflow_core.last_planned(d.dag_key, d.schedule) as l
where d.schedule_pending and not d.is_stale and not leoflow_core.is_custom(d.schedule)
order by d.dag_key
limit %(limit)s
for no key update of d skip locked;

-- name: claim_due
-- DAGs with a due run and room for it under max_active_runs, longest due first. One moment for all of them, so that
-- those of one schedule share their computation.
select
    d.dag_key, d.dag_id, d.schedule, d.start_date, d.end_date, d.catchup,
    d.next_data_interval_start as next_start, d.next_data_interval_end as next_end, d.next_run_after, d.next_run_id,
    d.next_partition_key, d.next_partition_date,
    leoflow_core.is_custom(d.schedule) as is_custom,
    l.last_start, l.last_end, statement_timestamp() as now
from leoflow_core.dag as d
cross join lateral leoflow_core.last_planned(d.dag_key, d.schedule) as l
where
    not d.is_paused and not d.is_stale and not d.schedule_pending
    and (d.allowed_run_types is null or 'scheduled' = any(d.allowed_run_types))
    and d.next_run_after <= statement_timestamp()
    and d.dag_key <> all(%(except)s::int[])
    and (
        select count(*) from leoflow_core.dag_run as r
        where r.dag_key = d.dag_key and r.state in ('queued', 'running') and r.run_type <> 'backfill'
    ) < d.max_active_runs
order by d.next_run_after
limit %(limit)s
for no key update of d skip locked;

-- name: create_due_runs
select r.item, r.code, r.message
from
    leoflow_core.create_due_runs(
        %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::timestamptz[]
    ) as r;

-- name: store_next_runs
-- The next runs of DAGs, null where there is none.
update leoflow_core.dag as d
set
    next_logical_date = n.start_at,
    next_data_interval_start = n.start_at,
    next_data_interval_end = n.end_at,
    next_run_after = n.run_after,
    next_partition_key = n.partition_key,
    next_partition_date = n.partition_date,
    schedule_pending = false
from
    unnest(
        %s::int[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::timestamptz[]
    ) as n (dag_key, start_at, end_at, run_after, partition_key, partition_date)
where d.dag_key = n.dag_key;

-- name: notify_schedule
notify leoflow_schedule;

-- name: ask_custom
-- The next runs of DAGs with a custom timetable must be asked for.
update leoflow_core.dag
set
    next_logical_date = null, next_data_interval_start = null, next_data_interval_end = null, next_run_after = null,
    next_run_id = null, schedule_pending = true, plan_after = clock_timestamp()
where dag_key = any(%s::int[]);

-- name: take_custom
-- Take DAGs with a custom timetable that must be asked; whoever dies meanwhile loses them when the time is over.
with taken as (
    update leoflow_core.dag as d
    set plan_after = clock_timestamp() + make_interval(secs => %(seconds)s)
    where
        d.dag_key in (
            select c.dag_key from leoflow_core.dag as c
            where
                c.schedule_pending and not c.is_stale and leoflow_core.is_custom(c.schedule)
                and coalesce(c.plan_after <= clock_timestamp(), true)
            order by c.plan_after nulls first, c.dag_key
            limit %(limit)s
            for no key update skip locked
        )
    returning d.*
)
select
    d.dag_key, d.dag_id, d.current_version_key as version_key, v.environment_key, v.bundle_path, v.relative_fileloc,
    d.start_date, d.end_date, d.catchup, l.last_start, l.last_end
from taken as d
inner join leoflow_core.dag_version as v on v.version_key = d.current_version_key
cross join lateral leoflow_core.last_planned(d.dag_key, d.schedule) as l;

-- name: store_custom
-- The answer of a custom timetable, unless the DAG has another version, or a run more, since it was asked.
with stored as (
    update leoflow_core.dag as d
    set
        next_logical_date = %(start)s, next_data_interval_start = %(start)s, next_data_interval_end = %(end)s,
        next_run_after = %(run_after)s, next_run_id = %(run_id)s, schedule_error = %(error)s::text,
        schedule_pending = %(error)s::text is not null,
        plan_after = case when %(error)s::text is not null then clock_timestamp() + make_interval(secs => %(wait)s) end
    where
        d.dag_key = %(dag_key)s and d.schedule_pending and d.current_version_key = %(version_key)s
        and (
            select max(r.data_interval_start) from leoflow_core.dag_run as r
            where r.dag_key = d.dag_key and r.run_type in ('scheduled', 'backfill') and r.logical_date is not null
        ) is not distinct from %(last_start)s::timestamptz
    returning d.next_run_after
)
select pg_notify('leoflow_schedule', '') from stored where stored.next_run_after is not null;

-- name: seconds_to_next_custom
select extract(epoch from min(coalesce(d.plan_after, clock_timestamp())) - clock_timestamp())
from leoflow_core.dag as d
where d.schedule_pending and not d.is_stale and leoflow_core.is_custom(d.schedule);

-- name: seconds_to_next_run
-- Seconds until the next run that is not due yet, and whether a due one waits for a running one to end.
select
    extract(epoch from min(d.next_run_after) filter (where d.next_run_after > clock_timestamp()) - clock_timestamp()),
    coalesce(bool_or(d.next_run_after <= clock_timestamp()), false)
from leoflow_core.dag as d
where
    not d.is_paused and not d.is_stale and d.next_run_after is not null
    and (d.allowed_run_types is null or 'scheduled' = any(d.allowed_run_types));

-- name: wake_workers
select leoflow_core.wake_workers();

-- name: refresh_watermark
-- Only while runs are unfinished; null when nothing is.
select case
    when exists (select from leoflow_core.dag_run as r where r.state in ('queued', 'running'))
        then leoflow_core.refresh_watermark()
end;

-- name: retire_all_workers
-- After taking the lock of a home nobody else can work on its embedded database: earlier workers are dead.
select leoflow_core.retire_worker(w.worker_key)
from leoflow_core.worker as w
where w.reaped_at is null;

-- name: promote_due
select leoflow_core.promote_due(%s::int);

-- name: seconds_to_next_timer
select extract(epoch from leoflow_core.next_due() - clock_timestamp());

-- name: reap
select leoflow_core.reap(%s::int);

-- name: seconds_to_next_lease
select extract(epoch from min(w.lease_until) - clock_timestamp())
from leoflow_core.worker as w
where w.reaped_at is null;

-- name: expire_runs
select leoflow_core.expire_runs(%s::int);

-- name: heartbeat
insert into leoflow_core.process (kind, hostname, pid, heartbeat_at)
select k.kind, %s, %s, clock_timestamp() from unnest(%s::text[]) as k (kind)
on conflict (kind, hostname, pid) do update set heartbeat_at = excluded.heartbeat_at, ended_at = null;

-- name: maintain_partitions
select leoflow_core.maintain_partitions();

-- name: retain
-- Remove up to a number of finished runs older than an interval; returns how many.
select leoflow_core.retain(%s::interval, %s::int);

-- name: archive_runs
select leoflow_core.archive_runs();

-- name: seconds_to_archive
select leoflow_core.seconds_to_archive();

-- name: retain_logs
-- Remove logs older than an interval whose runs stay; returns how many partitions.
select leoflow_core.retain_logs(%s::interval);

-- name: set_copy_logs
-- Whether logs are noted for copying as they are written. What was noted stays noted.
update leoflow_core.setting set value = to_jsonb(%s::int) where key = 'copy_logs' and value <> to_jsonb(%s::int);

-- name: due_log_copies
select * from leoflow_core.due_log_copies(%s::int);

-- name: log_chunks
-- The chunks of a log after a position.
select l.seq, l.lines
from leoflow_core.task_log as l
where l.run_key = %s and l.task_idx = %s and l.map_index = %s and l.try_number = %s and l.seq > %s
order by l.seq
limit %s;

-- name: log_copied
select leoflow_core.log_copied(%s, %s, %s, %s, %s);

-- name: log_not_copied
select leoflow_core.log_not_copied(%s, %s, %s, %s, %s, %s);

-- name: take_partition_events
select * from leoflow_core.take_partition_events(%s, %s);

-- name: add_partition_event
select leoflow_core.add_partition_event(%s, %s::text[], %s);

-- name: create_partitioned_runs
select leoflow_core.create_partitioned_runs(%s::int);

-- name: seconds_to_next_partition_event
select extract(epoch from min(coalesce(q.taken_until, clock_timestamp())) - clock_timestamp())
from leoflow_core.partition_queue as q;
