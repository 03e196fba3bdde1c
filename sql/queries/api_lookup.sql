-- name: dag
select * from leoflow_core.api_dags where dag_id = %(dag_id)s;

-- name: dag_run
select * from leoflow_core.api_dag_runs
where
    dag_key = (select d.dag_key from leoflow_core.dag d where d.dag_id = %(dag_id)s)
    and run_id = %(run_id)s;

-- name: task_instance
select * from leoflow_core.api_task_instances
where
    run_key = (
        select r.run_key
        from leoflow_core.dag_run r
        join leoflow_core.dag d using (dag_key)
        where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s
    )
    and task_id = %(task_id)s and map_index = %(map_index)s;

-- name: run_key
select r.run_key
from leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s;
