-- Statements of `leoflow run`.

-- name: run_state
select r.state::text, extract(epoch from coalesce(r.end_date, clock_timestamp()) - coalesce(r.start_date, r.queued_at))
from leoflow_core.dag_run as r
where r.run_key = %s;

-- name: instances
select
    t.task_id, i.map_index, i.state::text, i.try_number, i.start_date, i.end_date
from leoflow_core.all_task_instances as i
inner join leoflow_core.task as t on t.version_key = i.version_key and t.task_idx = i.task_idx
where i.run_key = %s
order by t.position, t.task_id, i.map_index;

-- name: return_values
select t.task_id, x.map_index, x.value
from leoflow_core.xcom as x
inner join leoflow_core.dag_run as r on r.run_key = x.run_key
inner join leoflow_core.task as t on t.version_key = r.version_key and t.task_idx = x.task_idx
where x.run_key = %s and x.key = 'return_value'
order by t.position, t.task_id, x.map_index;

-- name: log_chunks
-- Logs in the order they arrived, from a sequence number on, without those that were shown.
select l.seq, t.task_id, l.map_index, l.lines
from leoflow_core.task_log as l
inner join leoflow_core.dag_run as r on r.run_key = l.run_key
inner join leoflow_core.task as t on t.version_key = r.version_key and t.task_idx = l.task_idx
where l.run_key = %s and l.seq > %s and l.seq <> all(%s::bigint[])
order by l.seq;

-- name: logs_are_open
select leoflow_core.log_is_open(%s);

-- name: cancel_run
select leoflow.cancel_run(%s, %s);
