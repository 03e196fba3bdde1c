-- The return values a task's lists of task calls are made of, each upstream once, absent ones as null: those after an
-- upstream, as many as fit into a number of bytes (with what other tasks between them returned) but at least one. One
-- row, for thousands of rows cost more than what is in them: the task ids (one a line), the lengths of their values, the
-- values as they are stored with commas between them, the upstream to go on after, and whether there are more. Merges
-- tasks and XComs of the upstreams' range in key order, in one pass: hashes and windows cost twice, look-ups five times.
-- Locks: none. Callers: worker.
create or replace function leoflow_core.reduce_page(
    p_version_key bigint, p_run_key bigint, p_task_idx int, p_after int, p_max_bytes bigint,
    out task_ids text, out lengths text, out document bytea, out last_idx int, out has_more boolean
) language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = off
set enable_hashjoin = off set enable_mergejoin = on set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_slots int[] := array(
        select distinct i.upstream_idx from leoflow_core.reduce_input as i
        where i.version_key = p_version_key and i.task_idx = p_task_idx and i.slot >= 0 and i.upstream_idx > p_after
        order by i.upstream_idx
    );
    v_first int := v_slots[1];
    v_last int := v_slots[cardinality(v_slots)];
    v_until int := v_last;
begin
    if p_max_bytes < (
        select sum(octet_length(x.value)) from leoflow_core.xcom as x
        where x.run_key = p_run_key and x.task_idx between v_first and v_last and x.map_index = -1
            and x.key = 'return_value'
    ) then
        select max(w.task_idx) into v_until
        from (
            select
                x.task_idx,
                sum(coalesce(octet_length(x.value), 0)) over (order by x.task_idx) - coalesce(octet_length(x.value), 0)
                    as bytes_before
            from leoflow_core.xcom as x
            where x.run_key = p_run_key and x.task_idx between v_first and v_last and x.map_index = -1
                and x.key = 'return_value'
        ) as w
        where w.bytes_before < p_max_bytes;
    end if;
    select
        string_agg(g.task_id, e'\n'), string_agg(octet_length(g.value)::text, ','), string_agg(g.value, ','::bytea),
        max(g.task_idx), v_until < v_last
    into task_ids, lengths, document, last_idx, has_more
    from (
        select k.task_idx, k.task_id, coalesce(x.value, 'null'::bytea) as value
        from unnest(v_slots) as s(task_idx)
        join leoflow_core.task as k
            on k.version_key = p_version_key and k.task_idx = s.task_idx and k.task_idx between v_first and v_until
        left join leoflow_core.xcom as x
            on x.run_key = p_run_key and x.task_idx = s.task_idx and x.task_idx between v_first and v_until
                and x.map_index = -1 and x.key = 'return_value'
        order by s.task_idx
    ) as g;
end
$$;
comment on function leoflow_core.reduce_page(bigint, bigint, int, int, bigint) is
'The return values a task''s list parameters are made of, as many as fit, as one document.';
