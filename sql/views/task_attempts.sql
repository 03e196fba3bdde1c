-- Every attempt of every task instance: superseded ones and the current or last one. Readers: users, API, CLI.
create or replace view leoflow.task_attempts as
select
    d.dag_id,
    r.run_id as dag_run_id,
    k.task_id,
    a.map_index,
    a.try_number,
    a.attempt_id as id,
    a.state,
    a.max_tries,
    a.scheduled_at as scheduled_when,
    a.queued_at as queued_when,
    a.start_date,
    a.end_date,
    extract(epoch from coalesce(a.end_date, clock_timestamp()) - a.start_date)::float8 as duration,
    coalesce(a.hostname, w.hostname) as hostname,
    a.pid,
    a.reason,
    a.is_current,
    v.version_number,
    v.version_id as dag_version_id,
    r.dag_key,
    a.version_key,
    a.run_key,
    a.task_idx,
    a.worker_key
from (
    select
        h.run_key, h.task_idx, h.map_index, h.try_number, h.attempt_id, h.version_key, h.state, h.max_tries,
        h.scheduled_at, h.queued_at, h.start_date, h.end_date, h.worker_key, h.pid, h.hostname, h.reason,
        false as is_current
    from leoflow_core.task_attempt_history as h
    union all
    select
        t.run_key, t.task_idx, t.map_index, t.try_number, t.attempt_id, t.version_key, t.state, t.max_tries,
        t.scheduled_at, t.queued_at, t.start_date, case when t.state not in ('running', 'restarting') then t.end_date end,
        t.worker_key, t.pid, t.hostname, null, true
    from leoflow_core.all_task_instances as t where t.attempt_id is not null
) as a
join leoflow_core.dag_run as r on r.run_key = a.run_key
join leoflow_core.dag as d on d.dag_key = r.dag_key
left join leoflow_core.dag_version as v on v.version_key = a.version_key
left join leoflow_core.task as k on k.version_key = a.version_key and k.task_idx = a.task_idx
left join leoflow_core.worker as w on w.worker_key = a.worker_key;
comment on view leoflow.task_attempts is 'Every attempt of every task instance.';
