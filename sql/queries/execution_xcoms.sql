-- What running tasks ask about XComs: statements of leoflow/execution.

-- name: xcom
-- One value by its ids; no row when it was never pushed.
select xcom.value
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key and dag_run.run_id = %(run_id)s
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on
        xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx
        and xcom.map_index = %(map_index)s and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s;

-- name: xcom_including_prior_dates
-- The value of this run, else of the latest earlier run that has one.
select xcom.value
from leoflow_core.dag
join leoflow_core.dag_run as this on this.dag_key = dag.dag_key and this.run_id = %(run_id)s
join leoflow_core.dag_run
    on
        dag_run.dag_key = dag.dag_key
        and (dag_run.run_key = this.run_key or dag_run.logical_date < this.logical_date)
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on
        xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx
        and xcom.map_index = %(map_index)s and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s
order by (dag_run.run_key = this.run_key) desc, dag_run.logical_date desc
limit 1;

-- name: xcom_values_of_task
-- All values of a task in map order: one for a plain task, one per index for a mapped one.
select xcom.value
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key and dag_run.run_id = %(run_id)s
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s
order by xcom.map_index;

-- name: xcom_values_of_task_including_prior_dates
-- The same of this run and of all earlier ones, as Airflow: in map order, of equal ones the latest run's first.
select xcom.value
from leoflow_core.dag
join leoflow_core.dag_run as this on this.dag_key = dag.dag_key and this.run_id = %(run_id)s
join leoflow_core.dag_run
    on
        dag_run.dag_key = dag.dag_key
        and coalesce(dag_run.logical_date, dag_run.run_after) <= coalesce(this.logical_date, this.run_after)
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s
order by xcom.map_index, coalesce(dag_run.logical_date, dag_run.run_after) desc;

-- name: xcom_at_offset
-- The value at a position in map order, or from the end.
select xcom.value
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key and dag_run.run_id = %(run_id)s
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s
order by case when %(backwards)s then -xcom.map_index else xcom.map_index end
offset %(offset)s
limit 1;

-- name: xcom_window
-- Values in map order from a position on, while they stay within a number of bytes; always the first one.
select chosen.value
from (
    select one.value, one.map_index, sum(octet_length(one.value)) over (order by one.map_index) as total
    from (
        select xcom.value, xcom.map_index
        from leoflow_core.dag
        join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key and dag_run.run_id = %(run_id)s
        join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
        join leoflow_core.xcom
            on xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx and xcom.key = %(key)s
        where dag.dag_id = %(dag_id)s
        order by xcom.map_index
        offset %(offset)s
        limit %(limit)s
    ) as one
) as chosen
where chosen.total <= %(bytes)s or chosen.total = octet_length(chosen.value)
order by chosen.map_index;

-- name: xcom_count
select count(*)
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key and dag_run.run_id = %(run_id)s
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s;

-- name: reduce_inputs
select page.task_ids, page.lengths, page.document, page.last_idx, page.has_more
from
    leoflow_core.reduce_page(
        %(version_key)s::bigint, %(run_key)s::bigint, %(task_idx)s::int, %(after)s::int, %(max_bytes)s::bigint
    ) as page;

-- name: delete_own_xcom
-- Only while the attempt is the instance's current one.
delete from leoflow_core.xcom
using leoflow_core.task_instance as ti
where
    ti.run_key = %(run_key)s and ti.task_idx = %(task_idx)s and ti.map_index = %(map_index)s
    and ti.attempt_id = %(attempt_id)s
    and xcom.run_key = ti.run_key and xcom.task_idx = ti.task_idx and xcom.map_index = ti.map_index
    and xcom.key = %(key)s;
