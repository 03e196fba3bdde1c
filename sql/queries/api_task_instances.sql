-- name: rendered_fields
select rendered_fields
from leoflow_core.all_task_instance_extra
where run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s;

-- name: any_of_task
-- Whether a task has instances at all: a mapped one is asked for with its index.
select 1
from leoflow_core.all_task_instances i
join leoflow_core.task t using (version_key, task_idx)
where
    i.run_key = (
        select r.run_key
        from leoflow_core.dag_run r
        join leoflow_core.dag d using (dag_key)
        where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s
    )
    and t.task_id = %(task_id)s
limit 1;

-- name: mapped_task
select 1
from leoflow_core.dag_run r
join leoflow_core.task t using (version_key)
where r.run_key = %(run_key)s and t.task_id = %(task_id)s and t.map_inputs is not null;

-- name: dependencies
-- Why an instance that is not placed yet waits, in words a user can act on.
select name, reason
from leoflow_core.api_blocking
where run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s;

-- name: tries
select * from leoflow_core.api_task_tries
where
    run_key = (
        select r.run_key
        from leoflow_core.dag_run r
        join leoflow_core.dag d using (dag_key)
        where d.dag_id = %(dag_id)s and r.run_id = %(run_id)s
    )
    and task_id = %(task_id)s and map_index = %(map_index)s
    and (%(try_number)s::int is null or try_number = %(try_number)s)
order by try_number, is_current;

-- name: extra_links
-- The operator's links by name, with what the attempt stored for them as an XCom (`_link_<class>`), null without.
select
    link.name,
    (
        select convert_from(x.value, 'UTF8')::jsonb #>> '{}'
        from leoflow_core.xcom x
        where
            x.run_key = %(run_key)s and x.task_idx = %(task_idx)s and x.map_index = %(map_index)s
            and x.key = coalesce(t.spec -> 'extra_link_keys' ->> link.name, '_link_' || link.name)
    ) as url
from leoflow_core.task t
cross join
    lateral jsonb_array_elements_text(
        case jsonb_typeof(t.spec -> 'extra_links') when 'array' then t.spec -> 'extra_links' else '[]' end
    ) as link (name)
where t.version_key = %(version_key)s and t.task_idx = %(task_idx)s;
