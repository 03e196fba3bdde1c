-- Stores one XCom of a running attempt. False: the attempt lost its place, nothing was written. p_attempt_id null
-- writes without a fence (an operator, through the API).
-- Locks: the instance's row, shared; the XCom's row. Callers: execution API, API.
create or replace function leoflow_core.put_xcom(
    p_run_key bigint, p_task_idx int, p_map_index int, p_attempt_id uuid, p_key text, p_value bytea,
    p_mapped_length int default null
) returns boolean language plpgsql as $$
begin
    if p_attempt_id is not null and not leoflow_core.is_live(p_run_key, p_task_idx, p_map_index, p_attempt_id) then
        return false;
    end if;
    insert into leoflow_core.xcom (run_key, task_idx, map_index, key, value, mapped_length)
    values (p_run_key, p_task_idx, p_map_index, p_key, p_value, p_mapped_length)
    on conflict (run_key, task_idx, map_index, key) do update set
        value = excluded.value, mapped_length = excluded.mapped_length, created_at = excluded.created_at;
    return true;
end
$$;
comment on function leoflow_core.put_xcom(bigint, int, int, uuid, text, bytea, int) is 'Stores one XCom of a running attempt.';

-- Stores the XComs of a batch of attempts: see finish. p_accepted: the positions whose XComs are stored, null for all.
-- A plain insert costs 48 bytes of log and a visit of the page less than one with `on conflict`, and XComs that exist
-- already are rare. Locks: the XComs' rows. Callers: finish.
create or replace function leoflow_core.store_xcoms(
    p_run_keys bigint[], p_task_idxs int[], p_map_indexes int[], p_items int[], p_keys text[], p_values bytea[],
    p_lengths int[], p_accepted int[]
) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    insert into leoflow_core.xcom (run_key, task_idx, map_index, key, value, mapped_length)
    select p_run_keys[i.item], p_task_idxs[i.item], p_map_indexes[i.item], i.key, i.value, i.mapped_length
    from unnest(p_items, p_keys, p_values, p_lengths) as i(item, key, value, mapped_length)
    where p_accepted is null or i.item = any(p_accepted);
exception when unique_violation then
    insert into leoflow_core.xcom as x (run_key, task_idx, map_index, key, value, mapped_length)
    select p_run_keys[i.item], p_task_idxs[i.item], p_map_indexes[i.item], i.key, i.value, i.mapped_length
    from unnest(p_items, p_keys, p_values, p_lengths) as i(item, key, value, mapped_length)
    where p_accepted is null or i.item = any(p_accepted)
    on conflict (run_key, task_idx, map_index, key) do update set
        value = excluded.value, mapped_length = excluded.mapped_length, created_at = excluded.created_at;
end
$$;
comment on function leoflow_core.store_xcoms(bigint[], int[], int[], int[], text[], bytea[], int[], int[]) is
'Stores the XComs of a batch of attempts.';

-- Whether an attempt still has its place (also shortly after it succeeded: extra links are written last);
-- holds its instance's row so until the end of the transaction.
-- Locks: the instance's row, shared. Callers: put_xcom, set_rendered_fields and the like.
create or replace function leoflow_core.is_live(
    p_run_key bigint, p_task_idx int, p_map_index int, p_attempt_id uuid
) returns boolean language plpgsql as $$
begin
    perform from leoflow_core.task_instance as t
    where t.run_key = p_run_key and t.task_idx = p_task_idx and t.map_index = p_map_index
        and t.attempt_id = p_attempt_id and t.state in ('queued', 'running', 'success')
    for share;
    return found;
end
$$;
comment on function leoflow_core.is_live(bigint, int, int, uuid) is 'Whether an attempt still has its place.';

-- The values that references (task id, key) have in a run, one row per reference and map index, in one round trip.
-- Absent values have no row. Locks: none. Callers: execution API.
create or replace function leoflow_core.xcom_values(p_run_key bigint, p_task_ids text[], p_keys text[])
returns table (task_id text, key text, map_index int, value bytea) language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
begin
    return query select r.task_id, r.key, x.map_index, x.value
    from leoflow_core.dag_run as d
    cross join unnest(p_task_ids, p_keys) as r(task_id, key)
    join leoflow_core.task as t on t.version_key = d.version_key and t.task_id = r.task_id
    join leoflow_core.xcom as x on x.run_key = p_run_key and x.task_idx = t.task_idx and x.key = r.key
    where d.run_key = p_run_key
    order by r.task_id, r.key, x.map_index;
end
$$;
comment on function leoflow_core.xcom_values(bigint, text[], text[]) is 'The values of XCom references in a run.';
