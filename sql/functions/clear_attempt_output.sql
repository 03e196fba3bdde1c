-- Removes what an earlier attempt left, before the next one: its XComs (Airflow: xcom_keys_to_clear).
-- Locks: the XComs' rows. Callers: claim, admit.
create or replace function leoflow_core.clear_attempt_output(p_instances leoflow_core.instance_ref[]) returns void
language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    delete from leoflow_core.xcom as x
    using unnest(p_instances) as i
    join leoflow_core.task_instance as t
        on t.run_key = i.run_key and t.task_idx = i.task_idx and t.map_index = i.map_index
    left join leoflow_core.task_instance_extra as e
        on e.run_key = i.run_key and e.task_idx = i.task_idx and e.map_index = i.map_index
    where x.run_key = i.run_key and x.task_idx = i.task_idx and x.map_index = i.map_index and e.next_method is null;
end
$$;
comment on function leoflow_core.clear_attempt_output(leoflow_core.instance_ref[]) is
'Removes the XComs of an earlier attempt before the next one.';
