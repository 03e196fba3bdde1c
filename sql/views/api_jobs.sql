-- Contract: one row per long-running process of Leoflow, shown as Airflow's jobs: schedulers and the like, then workers.
-- Callers: the API's job resource.
create or replace view leoflow_core.api_jobs as
select
    p.process_key * 2 as id,
    null::text as dag_id,
    case when p.ended_at is null then 'running' else 'success' end as state,
    case p.kind
        when 'scheduler' then 'SchedulerJob'
        when 'triggerer' then 'TriggererJob'
        when 'watcher' then 'DagProcessorJob'
        when 'dag_processor' then 'DagProcessorJob'
        else initcap(p.kind) || 'Job'
    end as job_type,
    p.started_at as start_date,
    p.ended_at as end_date,
    p.heartbeat_at as latest_heartbeat,
    null::text as executor_class,
    p.hostname,
    null::text as unixname,
    null::text as dag_display_name,
    p.ended_at is null and p.heartbeat_at > clock_timestamp() - interval '30 seconds' as is_alive
from leoflow_core.process p
union all
select
    w.worker_key * 2 + 1,
    null,
    case
        when w.retired_at is not null then 'success'
        when w.lease_until < clock_timestamp() then 'failed'
        else 'running'
    end,
    'WorkerJob',
    w.started_at,
    w.retired_at,
    w.heartbeat_at,
    w.kind,
    w.hostname,
    null,
    null,
    w.retired_at is null and w.lease_until >= clock_timestamp()
from leoflow_core.worker w;

comment on view leoflow_core.api_jobs is 'The processes of Leoflow, as Airflow''s API shows jobs.';
