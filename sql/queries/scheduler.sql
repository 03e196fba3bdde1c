-- Statements of leoflow/scheduler. All times are the database's.

-- name: claim_unplanned
-- DAGs whose schedule is new or changed, with the interval of their latest scheduled run.
select
    d.dag_key, d.dag_id, d.schedule, d.start_date, d.end_date, d.catchup,
    d.next_data_interval_start as next_start, d.next_data_interval_end as next_end, d.next_run_after,
    l.data_interval_start as last_start, l.data_interval_end as last_end,
    clock_timestamp() as now
from leoflow_core.dag as d
left join lateral (
    select r.data_interval_start, r.data_interval_end
    from leoflow_core.dag_run as r
    where r.dag_key = d.dag_key and r.run_type in ('scheduled', 'backfill') and r.logical_date is not null
    order by r.logical_date desc
    limit 1
) as l on true
where d.schedule_pending and not d.is_stale
order by d.dag_key
limit %(limit)s
for no key update of d skip locked;

-- name: claim_due
-- DAGs with a due run and room for it under max_active_runs, longest due first.
select
    d.dag_key, d.dag_id, d.schedule, d.start_date, d.end_date, d.catchup,
    d.next_data_interval_start as next_start, d.next_data_interval_end as next_end, d.next_run_after,
    l.data_interval_start as last_start, l.data_interval_end as last_end,
    clock_timestamp() as now
from leoflow_core.dag as d
left join lateral (
    select r.data_interval_start, r.data_interval_end
    from leoflow_core.dag_run as r
    where r.dag_key = d.dag_key and r.run_type in ('scheduled', 'backfill') and r.logical_date is not null
    order by r.logical_date desc
    limit 1
) as l on true
where
    not d.is_paused and not d.is_stale and not d.schedule_pending
    and d.next_run_after <= clock_timestamp()
    and d.dag_key <> all(%(except)s::int[])
    and (
        select count(*) from leoflow_core.dag_run as r
        where r.dag_key = d.dag_key and r.state in ('queued', 'running') and r.run_type <> 'backfill'
    ) < d.max_active_runs
order by d.next_run_after
limit %(limit)s
for no key update of d skip locked;

-- name: create_scheduled_run
select * from leoflow_core.create_run(
    p_dag_id => %(dag_id)s,
    p_run_id => %(run_id)s,
    p_run_type => 'scheduled',
    p_logical_date => %(logical_date)s,
    p_data_interval_start => %(start)s,
    p_data_interval_end => %(end)s,
    p_run_after => %(run_after)s,
    p_triggered_by => 'timetable'
);

-- name: store_next_run
update leoflow_core.dag
set
    next_logical_date = %(start)s,
    next_data_interval_start = %(start)s,
    next_data_interval_end = %(end)s,
    next_run_after = %(run_after)s,
    schedule_pending = false
where dag_key = %(dag_key)s;

-- name: seconds_to_next_run
-- Seconds until the next run that is not due yet, and whether a due one waits for a running one to end.
select
    extract(epoch from min(d.next_run_after) filter (where d.next_run_after > clock_timestamp()) - clock_timestamp()),
    coalesce(bool_or(d.next_run_after <= clock_timestamp()), false)
from leoflow_core.dag as d
where not d.is_paused and not d.is_stale and d.next_run_after is not null;

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
select extract(epoch from min(i.due_at) - clock_timestamp())
from leoflow_core.task_instance as i
where i.due_at is not null;

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
