-- name: chunks
-- The chunks of a try after a position, in the order they were written.
select seq, lines
from leoflow_core.task_log
where
    run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s
    and try_number = %(try_number)s and seq > %(after)s
    and (%(until)s::bigint is null or seq <= %(until)s)
order by seq
limit %(limit)s;

-- name: last_chunk
select max(seq)
from leoflow_core.task_log
where
    run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s and try_number = %(try_number)s;

-- name: is_open
select leoflow_core.log_is_open(%(run_key)s, %(task_idx)s, %(map_index)s, %(try_number)s);
