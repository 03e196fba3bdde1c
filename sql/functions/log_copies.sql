-- Notes that the logs of attempts are to be copied to the object store, or copied again.
-- Locks: their rows in key order. Callers: append_log.
create or replace function leoflow_core.want_log_copies(
    p_run_keys bigint[], p_task_idxs int[], p_map_indexes int[], p_try_numbers int[]
) returns void language sql as $$
    insert into leoflow_core.log_copy as c (run_key, task_idx, map_index, try_number)
    select distinct i.run_key, i.task_idx, i.map_index, i.try_number
    from unnest(p_run_keys, p_task_idxs, p_map_indexes, p_try_numbers) as i(run_key, task_idx, map_index, try_number)
    order by 1, 2, 3, 4
    on conflict (run_key, task_idx, map_index, try_number) do update set revision = c.revision + 1
$$;
comment on function leoflow_core.want_log_copies(bigint[], int[], int[], int[]) is
'Notes that the logs of attempts are to be copied to the object store.';

-- Logs of ended attempts that are due to be copied, oldest first; dag_id is null when the run is gone.
-- Locks: none; two callers may copy the same log, to the same name. Callers: scheduler.
create or replace function leoflow_core.due_log_copies(p_limit int) returns table (
    run_key bigint, task_idx int, map_index int, try_number int, revision int, dag_id text, run_id text, task_id text
) language sql stable as $$
    select c.run_key, c.task_idx, c.map_index, c.try_number, c.revision, a.dag_id, a.dag_run_id, a.task_id
    from leoflow_core.log_copy as c
    left join lateral (
        select t.dag_id, t.dag_run_id, t.task_id, t.state
        from leoflow_core.api_task_tries as t
        where t.run_key = c.run_key and t.task_idx = c.task_idx and t.map_index = c.map_index
            and t.try_number = c.try_number
        order by t.is_current desc
        limit 1
    ) as a on true
    where c.due_at <= clock_timestamp()
        and (a.state is null or a.state not in ('queued', 'running', 'restarting', 'deferred', 'up_for_reschedule'))
    order by c.due_at
    limit p_limit
$$;
comment on function leoflow_core.due_log_copies(int) is 'Logs of ended attempts that are due to be copied.';

-- A log is copied, up to the lines there were at a revision; one that has more by now stays due.
-- Locks: its row. Callers: scheduler.
create or replace function leoflow_core.log_copied(
    p_run_key bigint, p_task_idx int, p_map_index int, p_try_number int, p_revision int
) returns void language sql as $$
    delete from leoflow_core.log_copy as c
    where c.run_key = p_run_key and c.task_idx = p_task_idx and c.map_index = p_map_index
        and c.try_number = p_try_number and c.revision = p_revision
$$;
comment on function leoflow_core.log_copied(bigint, int, int, int, int) is 'Notes that a log is copied.';

-- A log could not be copied: it is due again after 10 s, 20 s, … an hour at most, until it has failed p_attempts times.
-- Returns whether it is given up. Locks: its row. Callers: scheduler.
create or replace function leoflow_core.log_not_copied(
    p_run_key bigint, p_task_idx int, p_map_index int, p_try_number int, p_reason text, p_attempts int
) returns boolean language plpgsql as $$
begin
    update leoflow_core.log_copy as c set
        failures = c.failures + 1, reason = p_reason,
        due_at = clock_timestamp() + make_interval(secs => least(3600, 10 * 2 ^ least(c.failures, 10)))
    where c.run_key = p_run_key and c.task_idx = p_task_idx and c.map_index = p_map_index
        and c.try_number = p_try_number;
    delete from leoflow_core.log_copy as c
    where c.run_key = p_run_key and c.task_idx = p_task_idx and c.map_index = p_map_index
        and c.try_number = p_try_number and c.failures >= p_attempts;
    return found;
end
$$;
comment on function leoflow_core.log_not_copied(bigint, int, int, int, text, int) is 'Notes that a log could not be copied.';
