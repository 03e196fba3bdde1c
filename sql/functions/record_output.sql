-- What a worker has collected of its attempts, in one call: log lines (as append_log), processes (as save_places),
-- template fields and labels (as save_rendered). Each group of arrays may be null. Not durable by itself.
-- Locks: as save_places, then as save_rendered. Callers: worker.
create or replace function leoflow_core.record_output(
    p_log_run_keys bigint[], p_log_task_idxs int[], p_log_map_indexes int[], p_log_try_numbers int[],
    p_log_attempt_ids uuid[], p_lines text[], p_line_counts int[], p_are_last boolean[],
    p_placed_run_keys bigint[], p_placed_task_idxs int[], p_placed_map_indexes int[], p_placed_attempt_ids uuid[],
    p_pids int[], p_hostname text,
    p_rendered_run_keys bigint[], p_rendered_task_idxs int[], p_rendered_map_indexes int[],
    p_rendered_attempt_ids uuid[], p_fields jsonb[], p_labels text[]
) returns void language plpgsql as $$
begin
    if p_placed_run_keys is not null then
        perform leoflow_core.save_places(
            p_placed_run_keys, p_placed_task_idxs, p_placed_map_indexes, p_placed_attempt_ids, p_pids, p_hostname
        );
    end if;
    if p_rendered_run_keys is not null then
        perform leoflow_core.save_rendered(
            p_rendered_run_keys, p_rendered_task_idxs, p_rendered_map_indexes, p_rendered_attempt_ids, p_fields, p_labels
        );
    end if;
    if p_log_run_keys is not null then
        perform leoflow_core.append_log(
            p_log_run_keys, p_log_task_idxs, p_log_map_indexes, p_log_try_numbers, p_lines, p_line_counts,
            p_log_attempt_ids, p_are_last
        );
    end if;
end
$$;
comment on function leoflow_core.record_output(
    bigint[], int[], int[], int[], uuid[], text[], int[], boolean[], bigint[], int[], int[], uuid[], int[], text,
    bigint[], int[], int[], uuid[], jsonb[], text[]
) is 'Writes log lines, processes and template fields of attempts in one call.';
