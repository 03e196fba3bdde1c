-- name: of_instance
-- The question of an instance's current try.
select * from leoflow_core.api_hitl_details
where run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s and is_current;

-- name: of_try
select * from leoflow_core.api_hitl_details
where
    run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s
    and try_number = %(try_number)s;

-- name: open_for_answer
-- Locks the question of a try until the end of the transaction; of two answers the second one sees the first.
select responded_at, assigned_users
from leoflow_core.hitl_detail
where
    run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s
    and try_number = %(try_number)s
for update;

-- name: answer
update leoflow_core.hitl_detail
set
    responded_at = clock_timestamp(), responded_by_id = %(user_name)s, responded_by_name = %(user_name)s,
    chosen_options = %(chosen_options)s, params_input = %(params_input)s
where
    run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s
    and try_number = %(try_number)s
returning
    jsonb_build_object('id', responded_by_id, 'name', responded_by_name) as responded_by, responded_at,
    chosen_options, params_input;

-- name: pending
-- What deferred instances of some DAGs wait for people to answer.
select * from leoflow_core.api_hitl_details
where dag_key = any(%(dag_keys)s) and is_current and not response_received and state = 'deferred'
order by created_at;
