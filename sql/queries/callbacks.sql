-- Statements of leoflow/scheduler/callbacks.py and of what feeds it.

-- name: pump_outbox
select leoflow_core.pump_outbox(%s::int);

-- name: miss_deadlines
select leoflow_core.miss_deadlines(%s::int);

-- name: seconds_to_next_deadline
select extract(epoch from min(l.deadline_time) - clock_timestamp())
from leoflow_core.deadline as l
where not l.missed;

-- name: callbacks_expected
-- Whether the end of a run may ask for a callback at any moment.
select
    exists (select from leoflow_core.dag_version as v where v.has_callbacks)
    and exists (select from leoflow_core.dag_run as r where r.state in ('queued', 'running'));

-- name: take_requests
-- The callbacks one run has asked for, for a process that carries them out itself.
with taken as (
    delete from leoflow_core.outbox as o where o.run_key = %s returning o.*
)
select to_jsonb(t) from taken as t order by t.outbox_key;

-- name: run_of_request
-- The run of a request: where its code is, and a task instance in whose name to ask where the request names none.
select
    d.dag_id, r.run_id, v.environment_key, v.bundle_path, v.relative_fileloc,
    (select min(t.task_idx) from leoflow_core.task as t where t.version_key = v.version_key) as any_task_idx
from leoflow_core.dag_run as r
inner join leoflow_core.dag_version as v on v.version_key = r.version_key
inner join leoflow_core.dag as d on d.dag_key = r.dag_key
where r.run_key = %s;

-- name: restore_run
select leoflow_core.restore_run(%s);

-- name: attempt_of_request
-- What a worker would be told of the instance's latest attempt, and how it ended.
select i.end_date, a.*
from leoflow_core.describe_attempts(array[row(%(run_key)s, %(task_idx)s, %(map_index)s)::leoflow_core.instance_ref]) as a
inner join leoflow_core.task_instance as i
    on i.run_key = a.run_key and i.task_idx = a.task_idx and i.map_index = a.map_index;

-- name: dag_run_of_request
-- The run as Airflow's API shows it, which is what deadline callbacks get.
select to_jsonb(r) - array['run_key', 'dag_key', 'version_key', 'id', 'run_id', 'updated_at', 'version_number']
from leoflow_core.api_dag_runs as r
where r.run_key = %s;

-- name: record_callback
select leoflow_core.write_audit(
    p_event => 'callback', p_owner => 'scheduler', p_dag_id => %(dag_id)s, p_task_id => %(task_id)s,
    p_run_id => %(run_id)s, p_map_index => %(map_index)s, p_try_number => %(try_number)s, p_extra => %(extra)s
);
