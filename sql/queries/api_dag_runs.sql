-- name: create
select run_key, run_id
from leoflow_core.create_run(
    p_dag_id => %(dag_id)s, p_run_id => %(run_id)s, p_run_type => 'manual', p_logical_date => %(logical_date)s,
    p_data_interval_start => %(data_interval_start)s, p_data_interval_end => %(data_interval_end)s,
    p_run_after => %(run_after)s, p_conf => %(conf)s, p_triggered_by => %(triggered_by)s, p_user => %(user)s,
    p_note => %(note)s
)

-- name: wake
select leoflow_core.wake_workers()

-- name: state
select r.state::text
from leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s

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
group by x.task_id

-- name: set_note
update leoflow_core.dag_run r
set note = %(note)s, note_user = %(user)s, note_at = clock_timestamp()
from leoflow_core.dag d
where d.dag_key = r.dag_key and d.dag_id = %(dag_id)s and r.run_id = %(run_id)s

-- name: mark_run
select leoflow_core.api_mark_run(%(dag_id)s, %(run_id)s, %(state)s)

-- name: clear_run
select 1

-- name: delete
select leoflow_core.api_delete_run(%(dag_id)s, %(run_id)s)
