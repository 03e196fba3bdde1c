-- A process says that it runs a claimed attempt: queued becomes running, with its pid and host. Repeating it from the
-- same process is harmless; for another process, or an attempt that lost its place, it changes nothing. True: it may run.
-- Locks: the instance. Callers: execution API.
create or replace function leoflow_core.enter_running(
    p_run_key bigint, p_task_idx int, p_map_index int, p_attempt_id uuid, p_pid int, p_hostname text
) returns boolean language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    update leoflow_core.task_instance as t set
        state = 'running', due_at = null, start_date = coalesce(t.start_date, clock_timestamp()), pid = p_pid,
        hostname = p_hostname
    where t.run_key = p_run_key and t.task_idx = p_task_idx and t.map_index = p_map_index
        and t.attempt_id = p_attempt_id
        and (t.state = 'queued' or t.state = 'running' and t.pid = p_pid and t.hostname = p_hostname);
    return found;
end
$$;
comment on function leoflow_core.enter_running(bigint, int, int, uuid, int, text) is
'A process says that it runs a claimed attempt; false when it must not.';
