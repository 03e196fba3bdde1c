-- name: run_key
select r.run_key
from leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s;

-- name: task_idx
select t.task_idx
from leoflow_core.dag_run r
join leoflow_core.task t using (version_key)
where r.run_key = %(run_key)s and t.task_id = %(task_id)s;

-- name: one
select x.*, stored.value
from leoflow_core.api_xcoms x
join leoflow_core.xcom stored using (run_key, task_idx, map_index, key)
where
    x.run_key = (
        select r.run_key
        from leoflow_core.dag_run r
        join leoflow_core.dag d using (dag_key)
        where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s
    )
    and x.task_id = %(task_id)s and x.map_index = %(map_index)s and x.key = %(key)s;

-- name: insert
insert into leoflow_core.xcom (run_key, task_idx, map_index, key, value)
values (%(run_key)s, %(task_idx)s, %(map_index)s, %(key)s, %(value)s)
on conflict do nothing;

-- name: update
update leoflow_core.xcom x
set value = %(value)s, created_at = clock_timestamp()
from leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
join leoflow_core.task t using (version_key)
where
    d.dag_id = %(dag_id)s and r.run_id = %(run_id)s and t.task_id = %(task_id)s
    and x.run_key = r.run_key and x.task_idx = t.task_idx and x.map_index = %(map_index)s and x.key = %(key)s;

-- name: delete
delete from leoflow_core.xcom x
using leoflow_core.dag_run r
join leoflow_core.dag d using (dag_key)
join leoflow_core.task t using (version_key)
where
    d.dag_id = %(dag_id)s and r.run_id = %(run_id)s and t.task_id = %(task_id)s
    and x.run_key = r.run_key and x.task_idx = t.task_idx and x.map_index = %(map_index)s and x.key = %(key)s;
