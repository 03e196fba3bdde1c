-- name: record
select leoflow_core.write_audit(
    p_event => %(event)s, p_owner => %(owner)s, p_dag_id => %(dag_id)s, p_task_id => %(task_id)s,
    p_run_id => %(run_id)s, p_map_index => %(map_index)s::int, p_extra => %(extra)s::jsonb,
    p_logical_date => (
        select r.logical_date
        from leoflow_core.dag_run r
        join leoflow_core.dag d using (dag_key)
        where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s
    )
);
