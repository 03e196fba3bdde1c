-- Appends chunks of log lines (newline-delimited JSON) of attempts. Logs of an attempt that lost its place are kept:
-- they are facts about that attempt. p_are_last: no more lines of the attempt come (see log_is_open). Not durable by
-- itself: the next durable commit carries them.
-- Locks: none beyond the new rows; as want_log_copies. Callers: worker, execution API.
create or replace function leoflow_core.append_log(
    p_run_keys bigint[], p_task_idxs int[], p_map_indexes int[], p_try_numbers int[], p_lines text[],
    p_line_counts int[] default null, p_attempt_ids uuid[] default null, p_are_last boolean[] default null
) returns void language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into leoflow_core.task_log (run_key, task_idx, map_index, try_number, attempt_id, lines, line_count, is_last)
    select
        i.run_key, i.task_idx, i.map_index, i.try_number, i.attempt_id, i.lines,
        coalesce(i.line_count, length(i.lines) - length(replace(i.lines, E'\n', ''))), coalesce(i.is_last, false)
    from
        unnest(p_run_keys, p_task_idxs, p_map_indexes, p_try_numbers, p_lines, p_line_counts, p_attempt_ids, p_are_last)
        with ordinality as i(run_key, task_idx, map_index, try_number, lines, line_count, attempt_id, is_last, ord)
    order by i.ord;
    if leoflow_core.setting('copy_logs') = 1 then
        perform leoflow_core.want_log_copies(p_run_keys, p_task_idxs, p_map_indexes, p_try_numbers);
    end if;
end
$$;
comment on function leoflow_core.append_log(bigint[], int[], int[], int[], text[], int[], uuid[], boolean[]) is
'Appends chunks of log lines of attempts.';
