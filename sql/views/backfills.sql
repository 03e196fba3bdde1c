-- Backfills. Readers: users, API, CLI.
create or replace view leoflow.backfills as
select
    b.backfill_key as id,
    d.dag_id,
    coalesce(d.display_name, d.dag_id) as dag_display_name,
    b.from_date,
    b.to_date,
    b.dag_run_conf,
    b.is_paused,
    b.reprocess_behavior,
    b.run_backwards,
    b.run_on_latest_version,
    b.max_active_runs,
    b.triggering_user_name,
    b.created_at,
    b.completed_at,
    b.updated_at
from leoflow_core.backfill as b
join leoflow_core.dag as d on d.dag_key = b.dag_key;
comment on view leoflow.backfills is 'Backfills of DAGs.';

-- The dates of backfills, in the order their runs start. Readers: users, API, CLI.
create or replace view leoflow.backfill_runs as
select
    x.backfill_key as backfill_id,
    x.sort_ordinal,
    x.logical_date,
    r.run_id as dag_run_id,
    r.state,
    x.exception_reason,
    x.partition_key
from leoflow_core.backfill_run as x
left join leoflow_core.dag_run as r on r.run_key = x.run_key;
comment on view leoflow.backfill_runs is 'The dates of backfills: the run, or why there is none (exception_reason).';
