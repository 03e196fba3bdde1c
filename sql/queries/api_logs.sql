-- name: chunks
-- The chunks of a try after a position, in the order they were written: at most so many, and no more once they have
-- `bytes` together. The length of a text is known without reading it.
select
    sized.seq,
    sized.lines
from (
    select
        found.seq,
        found.lines,
        sum(octet_length(found.lines)) over (order by found.seq) - octet_length(found.lines) as before
    from (
        select
            seq,
            lines
        from leoflow_core.task_log
        where
            run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s
            and try_number = %(try_number)s and seq > %(after)s
            and (%(until)s::bigint is null or seq <= %(until)s)
        order by seq
        limit %(limit)s
    ) as found
) as sized
where sized.before < %(bytes)s
order by sized.seq;

-- name: last_chunk
select max(seq)
from leoflow_core.task_log
where
    run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s and try_number = %(try_number)s;

-- name: is_open
select leoflow_core.log_is_open(%(run_key)s, %(task_idx)s, %(map_index)s, %(try_number)s);
