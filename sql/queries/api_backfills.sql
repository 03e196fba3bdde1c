-- name: one
select * from leoflow.backfills
where id = %(id)s;

-- name: check
select leoflow_core.check_backfill(
    %(dag_id)s, %(from_date)s, %(to_date)s, %(reprocess_behavior)s, %(run_backwards)s, %(max_active_runs)s
);

-- name: check_count
select leoflow_core.check_backfill(
    %(dag_id)s, %(from_date)s, %(to_date)s, %(reprocess_behavior)s, %(run_backwards)s, %(max_active_runs)s, %(count)s
);

-- name: dag
-- What finding the dates of a DAG's schedule needs.
select
    d.schedule, leoflow_core.is_custom(d.schedule) as is_custom, v.version_key, v.spec -> 'params' as params,
    clock_timestamp() as now,
    leoflow_core.setting('max_backfill_runs')::int as most
from leoflow_core.dag d
join leoflow_core.dag_version v on v.version_key = d.current_version_key
where d.dag_key = %(dag_key)s;

-- name: dry_run
select p.logical_date, p.partition_key, (%(partition_dates)s::timestamptz[])[p.place] as partition_date
from
    leoflow_core.plan_backfill(
        %(dag_key)s, %(logical_dates)s::timestamptz[], %(reprocess_behavior)s, %(run_backwards)s,
        %(partition_keys)s::text[]
    ) as p
where p.exception_reason is null
order by p.sort_ordinal;

-- name: create
select leoflow_core.create_backfill(
    p_dag_id => %(dag_id)s, p_from => %(from_date)s, p_to => %(to_date)s,
    p_logical_dates => %(logical_dates)s::timestamptz[], p_interval_ends => %(interval_ends)s::timestamptz[],
    p_run_afters => %(run_afters)s::timestamptz[], p_reprocess => %(reprocess_behavior)s,
    p_backwards => %(run_backwards)s, p_max_active_runs => %(max_active_runs)s, p_conf => %(conf)s,
    p_latest_version => %(run_on_latest_version)s, p_user => %(user)s,
    p_partition_keys => %(partition_keys)s::text[], p_partition_dates => %(partition_dates)s::timestamptz[]
);

-- name: pause
select leoflow.pause_backfill(%(id)s, %(is_paused)s, %(user)s);

-- name: cancel
select leoflow.cancel_backfill(%(id)s, %(user)s);

-- name: runs
-- The dates of a backfill, in the order its runs start.
select sort_ordinal, logical_date, partition_key, dag_run_id, state::text as state, exception_reason
from leoflow.backfill_runs
where backfill_id = %(id)s
order by sort_ordinal;
