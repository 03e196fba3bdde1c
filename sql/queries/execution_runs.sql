-- What running tasks ask about DAG runs and task instances: statements of leoflow/execution.

-- name: dag
select
    dag.is_paused, dag.bundle_name, dag.relative_fileloc, array_to_string(dag.owners, ', ') as owners, dag.tags,
    dag.next_logical_date
from leoflow_core.dag
where dag.dag_id = %(dag_id)s;

-- name: trigger
-- What a run that a task triggers must respect; nothing when there is such a run already.
select
    dag.has_import_errors,
    version.spec -> 'params'
from leoflow_core.dag
left join leoflow_core.dag_version as version on version.version_key = dag.current_version_key
where
    dag.dag_id = %(dag_id)s
    and not exists (
        select
        from leoflow_core.dag_run
        where dag_run.dag_key = dag.dag_key and dag_run.run_id = %(run_id)s
    );

-- name: dag_run
select
    dag_run.run_key, dag.dag_id, dag_run.run_id, dag_run.logical_date, dag_run.data_interval_start, dag_run.data_interval_end,
    dag_run.run_after, dag_run.start_date, dag_run.end_date, dag_run.clear_number, dag_run.run_type::text,
    dag_run.state::text, dag_run.conf, dag_run.triggering_user_name, dag_run.partition_key, dag_run.note
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
where dag.dag_id = %(dag_id)s and dag_run.run_id = %(run_id)s;

-- name: dag_run_before
-- The latest run before a logical date, of one state if given.
select
    dag_run.run_key, dag.dag_id, dag_run.run_id, dag_run.logical_date, dag_run.data_interval_start, dag_run.data_interval_end,
    dag_run.run_after, dag_run.start_date, dag_run.end_date, dag_run.clear_number, dag_run.run_type::text,
    dag_run.state::text, dag_run.conf, dag_run.triggering_user_name, dag_run.partition_key, dag_run.note
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
where
    dag.dag_id = %(dag_id)s and dag_run.logical_date < %(logical_date)s
    and (%(state)s::text is null or dag_run.state::text = %(state)s)
order by dag_run.logical_date desc
limit 1;

-- name: dag_run_state
select dag_run.state::text
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
where dag.dag_id = %(dag_id)s and dag_run.run_id = %(run_id)s;

-- name: dag_run_count
select count(*)
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
where
    dag.dag_id = %(dag_id)s
    and (%(logical_dates)s::timestamptz[] is null or dag_run.logical_date = any(%(logical_dates)s::timestamptz[]))
    and (%(run_ids)s::text[] is null or dag_run.run_id = any(%(run_ids)s::text[]))
    and (%(states)s::text[] is null or dag_run.state::text = any(%(states)s::text[]));

-- name: previous_successful_dag_run
-- The run before this one by logical date that succeeded.
select earlier.data_interval_start, earlier.data_interval_end, earlier.start_date, earlier.end_date
from leoflow_core.dag_run as this
join leoflow_core.dag_run as earlier
    on earlier.dag_key = this.dag_key and earlier.logical_date < this.logical_date and earlier.state = 'success'
where this.run_key = %(run_key)s
order by earlier.logical_date desc
limit 1;

-- name: task_instances
select i.run_id, i.task_id, i.map_index, i.state, i.operator_name, i.duration
from
    leoflow_core.find_instances(
        %(dag_id)s, %(run_ids)s::text[], %(logical_dates)s::timestamptz[], %(task_ids)s::text[], %(map_index)s::int,
        %(task_group_id)s::text, %(states)s::text[]
    ) as i
order by i.task_id, i.map_index;

-- name: task_instance_count
select count(*)
from
    leoflow_core.find_instances(
        %(dag_id)s, %(run_ids)s::text[], %(logical_dates)s::timestamptz[], %(task_ids)s::text[], %(map_index)s::int,
        %(task_group_id)s::text, %(states)s::text[]
    );

-- name: task_group
-- Whether a DAG has a task group now.
select 1
from leoflow_core.dag
join leoflow_core.task_group on task_group.version_key = dag.current_version_key
where dag.dag_id = %(dag_id)s and task_group.group_id = %(task_group_id)s;

-- name: previous_task_instance
select
    dag_run.run_id, dag_run.logical_date, task_instance.start_date, task_instance.end_date,
    task_instance.state::text, task_instance.try_number,
    extract(epoch from task_instance.end_date - task_instance.start_date)::float8 as duration
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.all_task_instances as task_instance
    on
        task_instance.run_key = dag_run.run_key and task_instance.task_idx = task.task_idx
        and task_instance.map_index = %(map_index)s
where
    dag.dag_id = %(dag_id)s
    and (%(logical_date)s::timestamptz is null or dag_run.logical_date < %(logical_date)s)
    and (%(state)s::text is null or task_instance.state::text = %(state)s)
order by dag_run.logical_date desc nulls last
limit 1;
