-- name: health
-- The newest heartbeat of each kind of process.
select distinct on (job_type) job_type, latest_heartbeat, is_alive
from leoflow_core.api_jobs
where end_date is null
order by job_type, latest_heartbeat desc;

-- name: any_deferred
-- Whether a task of an active run waits for a trigger.
select exists (
    select
    from leoflow_core.dag_run r
    join leoflow_core.task_instance i using (run_key)
    where r.state = 'running' and i.state = 'deferred'
);
