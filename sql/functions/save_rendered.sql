-- Template fields and labels of attempts; null keeps what is there, a stale attempt changes nothing. The arrays are
-- parallel. Not durable by itself, like the log.
-- Locks: the rows of task_instance_extra, in key order. Callers: worker, execution API.
create or replace function leoflow_core.save_rendered(
    p_run_keys bigint[], p_task_idxs int[], p_map_indexes int[], p_attempt_ids uuid[], p_fields jsonb[], p_labels text[]
) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into leoflow_core.task_instance_extra as x (run_key, task_idx, map_index, rendered_fields, rendered_map_index)
    select t.run_key, t.task_idx, t.map_index, i.fields, i.label
    from unnest(p_run_keys, p_task_idxs, p_map_indexes, p_attempt_ids, p_fields, p_labels)
        as i(run_key, task_idx, map_index, attempt_id, fields, label)
    join leoflow_core.task_instance as t
        on leoflow_core.by_key(t.run_key, i.run_key) and t.task_idx = i.task_idx and t.map_index = i.map_index
            and t.attempt_id = i.attempt_id
    order by t.run_key, t.task_idx, t.map_index
    on conflict (run_key, task_idx, map_index) do update set
        rendered_fields = coalesce(excluded.rendered_fields, x.rendered_fields),
        rendered_map_index = coalesce(excluded.rendered_map_index, x.rendered_map_index);
end
$$;
comment on function leoflow_core.save_rendered(bigint[], int[], int[], uuid[], jsonb[], text[]) is
'Notes template fields and labels of attempts.';
