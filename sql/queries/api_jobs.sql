-- name: health
-- The newest heartbeat of each kind of process.
select distinct on (job_type) job_type, latest_heartbeat, is_alive
from leoflow_core.api_jobs
where end_date is null
order by job_type, latest_heartbeat desc
