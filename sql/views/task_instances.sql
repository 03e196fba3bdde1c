-- Task instances with their current or last attempt. id is the attempt's; an instance never attempted has one
-- derived from its key. Readers: users, API, CLI.
create or replace view leoflow.task_instances as
select
    d.dag_id,
    r.run_id as dag_run_id,
    k.task_id,
    t.map_index,
    coalesce(t.attempt_id, md5(t.run_key || '/' || t.task_idx || '/' || t.map_index || '/' || t.try_number)::uuid) as id,
    t.state,
    t.try_number,
    t.max_tries,
    t.scheduled_at as scheduled_when,
    t.queued_at as queued_when,
    t.start_date,
    t.end_date,
    case
        when t.start_date is not null
            then
                extract(
                    epoch from coalesce(case when t.state not in ('running', 'restarting') then t.end_date end, clock_timestamp())
                    - t.start_date
                )::float8
    end as duration,
    t.due_at,
    k.operator,
    k.operator_name,
    k.display_name as task_display_name,
    k.group_id as task_group_id,
    t.trigger_rule,
    q.name as queue,
    p.name as pool,
    t.pool_slots,
    t.priority as priority_weight,
    coalesce(t.hostname, w.hostname) as hostname,
    t.pid,
    x.unixname,
    x.rendered_map_index,
    x.rendered_fields,
    x.note,
    r.logical_date,
    r.run_after,
    v.version_number,
    v.version_id as dag_version_id,
    t.infra_retries,
    t.reschedules,
    t.upstreams,
    t.up_success,
    t.up_failed,
    t.up_upstream_failed,
    t.up_skipped,
    t.up_removed,
    k.position,
    r.dag_key,
    t.version_key,
    t.run_key,
    t.task_idx,
    t.worker_key,
    t.attempt_id
from leoflow_core.all_task_instances as t
join leoflow_core.dag_run as r on r.run_key = t.run_key
join leoflow_core.dag as d on d.dag_key = r.dag_key
left join leoflow_core.dag_version as v on v.version_key = t.version_key
left join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
left join leoflow_core.queue as q on q.queue_key = t.queue_key
left join leoflow_core.pool as p on p.pool_key = t.pool_key
left join leoflow_core.worker as w on w.worker_key = t.worker_key
left join leoflow_core.all_task_instance_extra as x
    on x.run_key = t.run_key and x.task_idx = t.task_idx and x.map_index = t.map_index;
comment on view leoflow.task_instances is 'Task instances with their current or last attempt.';
