-- name: params
select v.spec -> 'params'
from leoflow_core.dag_version v
where v.version_key = %(current_version_key)s;

-- name: state
select r.state::text
from leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s;

-- name: results
-- The return values of some tasks of a run; of mapped ones the list.
select
    x.task_id,
    case
        when min(x.map_index) = -1 then (array_agg(convert_from(stored.value, 'UTF8')::jsonb))[1]
        else jsonb_agg(convert_from(stored.value, 'UTF8')::jsonb order by x.map_index)
    end as value
from leoflow_core.api_xcoms x
join leoflow_core.xcom stored using (run_key, task_idx, map_index, key)
where
    x.run_key = (
        select r.run_key
        from leoflow_core.dag_run r
        join leoflow_core.dag d using (dag_key)
        where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s
    )
    and x.key = 'return_value' and x.task_id = any(%(task_ids)s)
group by x.task_id;

-- name: set_note
update leoflow_core.dag_run r
set note = %(note)s, note_user = %(user)s, note_at = clock_timestamp()
from leoflow_core.dag d
where d.dag_key = r.dag_key and d.dag_id = %(dag_id)s and r.run_id = %(run_id)s;

-- name: mark_run
select count(*)
from leoflow.set_run_state(
    p_dag_id => %(dag_id)s, p_run_id => %(run_id)s, p_state => %(state)s, p_user => %(user)s
);

-- name: clear_run
select a.*
from
    leoflow.clear_tasks(
        p_dag_id => %(dag_id)s, p_run_id => %(run_id)s, p_only_failed => %(only_failed)s, p_dry_run => %(dry_run)s,
        p_latest_version => %(run_on_latest_version)s, p_user => %(user)s
    ) as touched
join leoflow_core.api_task_instances a using (run_key, task_idx, map_index)
order by a.run_key, a.task_idx, a.map_index;

-- name: new_tasks
-- The tasks of the latest version that a run does not have; without dry run it gets them.
select task_id, task_display_name
from leoflow_core.add_new_tasks(
    p_dag_id => %(dag_id)s, p_run_id => %(run_id)s, p_dry_run => %(dry_run)s, p_user => %(user)s
);

-- name: delete
select leoflow.delete_run(p_dag_id => %(dag_id)s, p_run_id => %(run_id)s, p_user => %(user)s);
