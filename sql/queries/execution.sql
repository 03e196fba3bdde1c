-- Reads and small writes of running attempts: the operations of the task execution API.

-- name: variable
select variable.value from leoflow_core.variable where variable.key = %(key)s;

-- name: put_variable
insert into leoflow_core.variable (key, value, description)
values (%(key)s, %(value)s, %(description)s)
on conflict (key) do update
    set
        value = excluded.value, description = coalesce(excluded.description, variable.description),
        updated_at = clock_timestamp();

-- name: delete_variable
delete from leoflow_core.variable where variable.key = %(key)s;

-- name: connection
select connection.conn_type, connection.sealed
from leoflow_core.connection
where connection.connection_id = %(conn_id)s;

-- name: declared_secrets
-- The connections and variables a version's leoflow.yaml declares; null when it declares none, not even an empty list.
select
    nullif(dag_version.spec -> 'connections', 'null') as connections,
    nullif(dag_version.spec -> 'variables', 'null') as variables
from leoflow_core.dag_version
where dag_version.version_key = %(version_key)s;

-- name: audit_refusal
select leoflow_core.write_audit(
    %(event)s, 'task', %(dag_id)s, %(task_id)s, %(run_id)s, %(map_index)s, %(try_number)s,
    jsonb_build_object('name', %(name)s::text)
);

-- name: task_settings
-- What leoflow.yaml gives the processes of a version's tasks; tasks without any of it are left out.
select
    task.task_idx, task.spec -> 'env' as env, task.spec -> 'resources' as resources,
    task.spec -> 'execution' -> 'attempts_per_process' as attempts_per_process
from leoflow_core.task
where
    task.version_key = %(version_key)s
    and (
        coalesce(task.spec -> 'env', '{}') <> '{}'::jsonb
        or coalesce(task.spec -> 'resources', '{}') <> '{}'::jsonb
        or task.spec -> 'execution' ? 'attempts_per_process'
    );

-- name: attempt_standing
-- Where an attempt stands: whether it is its instance's current one, that one's state and process, for how many seconds
-- it has ended, and whether it was superseded. No row: there is no such instance.
select
    coalesce(ti.attempt_id = %(attempt_id)s, false) as is_current, ti.state::text, ti.hostname, ti.pid,
    coalesce(extract(epoch from clock_timestamp() - ti.end_date), 0)::float8 as ended_seconds,
    exists (
        select from leoflow_core.task_attempt_history as earlier
        where
            earlier.run_key = ti.run_key and earlier.task_idx = ti.task_idx and earlier.map_index = ti.map_index
            and earlier.attempt_id = %(attempt_id)s
    ) as is_superseded
from leoflow_core.all_task_instances as ti
where ti.run_key = %(run_key)s and ti.task_idx = %(task_idx)s and ti.map_index = %(map_index)s;

-- name: ask_person
-- One question per try; asking again takes an earlier answer back.
insert into leoflow_core.hitl_detail (
    run_key, task_idx, map_index, try_number, options, subject, body, defaults, multiple, params, assigned_users
)
select
    ti.run_key, ti.task_idx, ti.map_index, ti.try_number, %(options)s, %(subject)s, %(body)s, %(defaults)s,
    %(multiple)s, %(params)s, %(assigned_users)s
from leoflow_core.task_instance as ti
where
    ti.run_key = %(run_key)s and ti.task_idx = %(task_idx)s and ti.map_index = %(map_index)s
    and ti.attempt_id = %(attempt_id)s
on conflict (run_key, task_idx, map_index, try_number) do update
    set
        responded_at = null, responded_by_id = null, responded_by_name = null, chosen_options = null,
        params_input = '{}'
returning options, subject, body, defaults, multiple, params, assigned_users;

-- name: answer_of_person
select responded_at, responded_by_id, responded_by_name, chosen_options, params_input
from leoflow_core.hitl_detail
where
    run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s
    and try_number = %(try_number)s;

-- name: answer_by_default
-- Only while nobody has answered.
update leoflow_core.hitl_detail
set responded_at = clock_timestamp(), chosen_options = %(chosen_options)s, params_input = %(params_input)s
where
    run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s
    and try_number = %(try_number)s and responded_at is null
returning responded_at, responded_by_id, responded_by_name, chosen_options, params_input;
