-- Whether more lines may come of tries that have ended: an attempt's outcome is recorded before its last lines are, and
-- its callbacks run after it. Until the last chunk is there, or its worker is gone, or so much time has passed that
-- the worker has ended the process (worker.overtime_seconds, 20 s unless set). Without p_task_idx: of any task of the run.
-- Locks: none. Callers: API (logs), leoflow run.
create or replace function leoflow_core.log_is_open(
    p_run_key bigint, p_task_idx int default null, p_map_index int default null, p_try_number int default null
) returns boolean language sql stable as $$
    select exists (
        select
        from (
            select i.task_idx, i.map_index, i.try_number, i.attempt_id, i.worker_key, i.end_date
            from leoflow_core.all_task_instances as i
            where i.run_key = p_run_key
            union all
            select h.task_idx, h.map_index, h.try_number, h.attempt_id, h.worker_key, h.end_date
            from leoflow_core.task_attempt_history as h
            where h.run_key = p_run_key
        ) as a
        join leoflow_core.worker as w on w.worker_key = a.worker_key
        where (p_task_idx is null
            or (a.task_idx = p_task_idx and a.map_index = p_map_index and a.try_number = p_try_number))
            and a.attempt_id is not null -- else it is to be tried again, and the try that ended is in history
            and a.end_date > clock_timestamp() - interval '1 minute'
            and w.lease_until > clock_timestamp()
            and not exists (
                select
                from leoflow_core.task_log as l
                where l.run_key = p_run_key and l.task_idx = a.task_idx and l.map_index = a.map_index
                    and l.try_number = a.try_number and l.attempt_id = a.attempt_id and l.is_last
            )
    )
$$;
comment on function leoflow_core.log_is_open(bigint, int, int, int) is
'Whether more log lines may come of tries that have ended.';
