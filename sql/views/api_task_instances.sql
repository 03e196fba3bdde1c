-- Contract: one row per task instance, named as Airflow's API names them; rendered_fields are left to the single read.
-- A read ordered by (run_key, task_idx, map_index) walks the primary key. An instance that was never placed has no
-- attempt yet; its id is then made from its key.
-- Callers: the API's task instance resources.
create or replace view leoflow_core.api_task_instances as
select
    i.run_key,
    i.task_idx,
    i.version_key,
    coalesce(
        i.attempt_id, md5(concat_ws('/', i.run_key, i.task_idx, i.map_index))::uuid
    ) as id,
    t.task_id,
    d.dag_id,
    r.run_id as dag_run_id,
    i.map_index,
    r.logical_date,
    r.run_after,
    r.data_interval_start,
    r.data_interval_end,
    i.start_date,
    i.end_date,
    extract(epoch from i.end_date - i.start_date)::float8 as duration,
    i.state::text as state,
    i.try_number,
    i.max_tries,
    coalesce(t.display_name, t.task_id) as task_display_name,
    v.dag_display_name,
    coalesce(i.hostname, w.hostname) as hostname,
    x.unixname,
    p.name as pool,
    i.pool_slots,
    q.name as queue,
    i.priority as priority_weight,
    t.operator,
    coalesce(t.operator_name, t.operator) as operator_name,
    i.queued_at as queued_when,
    i.scheduled_at as scheduled_when,
    i.pid,
    null::text as executor,
    '{}' as executor_config,
    x.note,
    x.rendered_map_index,
    case
        when g.trigger_key is not null
            then jsonb_build_object(
                'id', g.trigger_key, 'classpath', g.classpath, 'kwargs', g.kwargs::text,
                'created_date', g.created_at at time zone 'UTC' || 'Z', 'queue', g.queue,
                'triggerer_id', g.triggerer_key * 2
            )
    end as trigger,
    case
        when j.process_key is not null
            then jsonb_build_object(
                'id', j.process_key * 2, 'dag_id', null, 'state', case when j.ended_at is null then 'running' else 'success' end,
                'job_type', 'TriggererJob', 'start_date', j.started_at at time zone 'UTC' || 'Z',
                'end_date', j.ended_at at time zone 'UTC' || 'Z',
                'latest_heartbeat', j.heartbeat_at at time zone 'UTC' || 'Z', 'executor_class', null,
                'hostname', j.hostname, 'unixname', null, 'dag_display_name', null
            )
    end as triggerer_job,
    v.dag_version,
    v.version_number,
    r.dag_key,
    r.updated_at
from leoflow_core.all_task_instances i
join leoflow_core.dag_run r on r.run_key = i.run_key
join leoflow_core.dag d on d.dag_key = r.dag_key
left join leoflow_core.task t on t.version_key = i.version_key and t.task_idx = i.task_idx
left join leoflow_core.api_dag_versions v on v.version_key = i.version_key
left join leoflow_core.pool p on p.pool_key = i.pool_key
left join leoflow_core.queue q on q.queue_key = i.queue_key
left join leoflow_core.worker w on w.worker_key = i.worker_key
left join leoflow_core.all_task_instance_extra x
    on x.run_key = i.run_key and x.task_idx = i.task_idx and x.map_index = i.map_index
left join leoflow_core.trigger g
    on
        i.state = 'deferred' and g.run_key = i.run_key and g.task_idx = i.task_idx and g.map_index = i.map_index
        and g.attempt_id = i.attempt_id
left join leoflow_core.process j on j.process_key = g.triggerer_key;

comment on view leoflow_core.api_task_instances is 'Task instances, as the API shows them.';
