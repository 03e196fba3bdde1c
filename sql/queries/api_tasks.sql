-- name: tasks
-- The tasks of a version, or the one of an id, with the ids of their direct downstream tasks.
select
    t.task_id,
    coalesce(t.display_name, t.task_id) as task_display_name,
    t.owner,
    d.start_date,
    d.end_date,
    t.trigger_rule::text as trigger_rule,
    t.depends_on_past,
    t.wait_for_downstream,
    t.retries,
    q.name as queue,
    p.name as pool,
    t.pool_slots,
    t.execution_timeout_seconds,
    t.retry_delay_seconds,
    t.retry_exponential_backoff,
    coalesce(t.operator_name, t.operator) as operator_name,
    t.is_mapped,
    t.spec,
    array(
        select down.task_id
        from leoflow_core.task_edge e
        join leoflow_core.task down on down.version_key = e.version_key and down.task_idx = e.downstream_idx
        where e.version_key = t.version_key and e.upstream_idx = t.task_idx and e.kind = 'd'
        order by down.task_id
    ) as downstream_task_ids
from leoflow_core.task t
join leoflow_core.dag_version v on v.version_key = t.version_key
join leoflow_core.dag d on d.dag_key = v.dag_key
join leoflow_core.queue q on q.queue_key = t.queue_key
join leoflow_core.pool p on p.pool_key = t.pool_key
where t.version_key = %(version_key)s and (%(task_id)s::text is null or t.task_id = %(task_id)s);
