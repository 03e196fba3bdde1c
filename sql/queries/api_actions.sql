-- name: run
select r.run_key, r.logical_date, r.state::text
from leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s;

-- name: logical_date
select r.logical_date
from leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s;

-- name: target
-- Whether a task has instances in a run, or the one of an index.
select 1
from leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
join leoflow_core.all_task_instances i using (run_key)
join leoflow_core.task t on t.version_key = i.version_key and t.task_idx = i.task_idx
where
    d.dag_id = %(dag_id)s and r.run_id = %(run_id)s and t.task_id = %(task_id)s
    and (%(map_index)s::int is null or i.map_index = %(map_index)s)
limit 1;

-- name: instances
select * from leoflow_core.api_task_instances
where
    run_key = (
        select r.run_key
        from leoflow_core.dag_run r
        join leoflow_core.dag d using (dag_key)
        where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s
    )
    and task_id = %(task_id)s and (%(map_index)s::int is null or map_index = %(map_index)s)
order by map_index;

-- name: mark
select a.*
from
    leoflow.mark_tasks(
        p_dag_id => %(dag_id)s, p_run_id => %(run_id)s, p_tasks => %(tasks)s, p_state => %(new_state)s,
        p_upstream => %(include_upstream)s, p_downstream => %(include_downstream)s, p_past => %(include_past)s,
        p_future => %(include_future)s, p_dry_run => %(dry_run)s, p_user => %(user)s
    ) as touched
join leoflow_core.api_task_instances a using (run_key, task_idx, map_index)
order by a.run_key, a.task_idx, a.map_index;

-- name: clear
select a.*
from
    leoflow.clear_tasks(
        p_dag_id => %(dag_id)s, p_run_id => %(dag_run_id)s, p_tasks => %(tasks)s, p_upstream => %(include_upstream)s,
        p_downstream => %(include_downstream)s, p_past => %(include_past)s, p_future => %(include_future)s,
        p_only_failed => %(only_failed)s, p_only_running => %(only_running)s, p_dry_run => %(dry_run)s,
        p_reset_runs => %(reset_dag_runs)s, p_prevent_running => %(prevent_running_task)s, p_user => %(user)s,
        p_start => %(start_date)s, p_end => %(end_date)s, p_latest_version => %(run_on_latest_version)s
    ) as touched
join leoflow_core.api_task_instances a using (run_key, task_idx, map_index)
order by a.run_key, a.task_idx, a.map_index;

-- name: restore_run
-- Before a write to an instance of a run that may be in history; in one transaction with it.
select leoflow_core.restore_run(r.run_key)
from leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s;

-- name: set_note
insert into leoflow_core.task_instance_extra as x (run_key, task_idx, map_index, note, note_user, note_at)
select i.run_key, i.task_idx, i.map_index, %(note)s, %(user)s, clock_timestamp()
from leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
join leoflow_core.task_instance i using (run_key)
join leoflow_core.task t on t.version_key = i.version_key and t.task_idx = i.task_idx
where
    d.dag_id = %(dag_id)s and r.run_id = %(run_id)s and t.task_id = %(task_id)s
    and (%(map_index)s::int is null or i.map_index = %(map_index)s)
on conflict (run_key, task_idx, map_index) do update
    set note = excluded.note, note_user = excluded.note_user, note_at = excluded.note_at;

-- name: delete_instance
select leoflow_core.api_delete_instance(%(dag_id)s, %(run_id)s, %(task_id)s, %(map_index)s);
