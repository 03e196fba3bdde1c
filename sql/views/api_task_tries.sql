-- Contract: one row per try of a task instance, the superseded ones and the current one.
-- Callers: the API's tries and log resources.
create or replace view leoflow_core.api_task_tries as
with attempt as (
    select
        h.run_key, h.task_idx, h.map_index, h.try_number, h.version_key, h.state, h.max_tries, h.scheduled_at,
        h.queued_at, h.start_date, h.end_date, h.pid, h.hostname, h.worker_key,
        false as is_current
    from leoflow_core.task_attempt_history h
    union all
    select
        i.run_key, i.task_idx, i.map_index, i.try_number, i.version_key, i.state, i.max_tries, i.scheduled_at,
        i.queued_at, i.start_date, i.end_date, i.pid, i.hostname, i.worker_key, true
    from leoflow_core.all_task_instances i
)
select
    a.run_key,
    a.task_idx,
    a.is_current,
    t.task_id,
    d.dag_id,
    r.run_id as dag_run_id,
    a.map_index,
    a.start_date,
    a.end_date,
    extract(epoch from a.end_date - a.start_date)::float8 as duration,
    a.state::text as state,
    a.try_number,
    a.max_tries,
    coalesce(t.display_name, t.task_id) as task_display_name,
    v.dag_display_name,
    coalesce(a.hostname, w.hostname) as hostname,
    null::text as unixname,
    p.name as pool,
    t.pool_slots,
    q.name as queue,
    t.priority as priority_weight,
    t.operator,
    coalesce(t.operator_name, t.operator) as operator_name,
    a.queued_at as queued_when,
    a.scheduled_at as scheduled_when,
    a.pid,
    null::text as executor,
    '{}' as executor_config,
    v.dag_version
from attempt a
join leoflow_core.dag_run r on r.run_key = a.run_key
join leoflow_core.dag d on d.dag_key = r.dag_key
left join leoflow_core.task t on t.version_key = a.version_key and t.task_idx = a.task_idx
left join leoflow_core.api_dag_versions v on v.version_key = a.version_key
left join leoflow_core.pool p on p.pool_key = t.pool_key
left join leoflow_core.queue q on q.queue_key = t.queue_key
left join leoflow_core.worker w on w.worker_key = a.worker_key;

comment on view leoflow_core.api_task_tries is 'Tries of task instances, as the API shows them.';
