-- The return values a task's lists of task calls are made of, each upstream once, absent ones as null: those after an
-- upstream, as many as fit into a number of bytes but at least one. One row, for thousands of rows cost more than what is
-- in them: the task ids (one a line), the lengths of their values, the values as they are stored with commas between
-- them, the upstream to go on after, and whether there are more. Reads the XComs of the upstreams' range in one pass: ten
-- thousand look-ups cost five times as much.
-- Locks: none. Callers: worker.
create or replace function leoflow_core.reduce_page(
    p_version_key bigint, p_run_key bigint, p_task_idx int, p_after int, p_max_bytes bigint,
    out task_ids text, out lengths text, out document bytea, out last_idx int, out has_more boolean
) language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = off
set enable_hashjoin = on set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_first int;
    v_last int;
begin
    select min(i.upstream_idx), max(i.upstream_idx) into v_first, v_last
    from leoflow_core.reduce_input as i
    where i.version_key = p_version_key and i.task_idx = p_task_idx and i.slot >= 0 and i.upstream_idx > p_after;
    with slot as materialized (
        select distinct i.upstream_idx
        from leoflow_core.reduce_input as i
        where i.version_key = p_version_key and i.task_idx = p_task_idx and i.slot >= 0 and i.upstream_idx > p_after
    ),
    sized as (
        select
            k.task_id, coalesce(x.value, 'null'::bytea) as value, s.upstream_idx, count(*) over () as total,
            sum(octet_length(x.value)) over (
                order by s.upstream_idx rows between unbounded preceding and 1 preceding
            ) as bytes_before
        from slot as s
        join leoflow_core.task as k
            on k.version_key = p_version_key and k.task_idx = s.upstream_idx and k.task_idx between v_first and v_last
        left join leoflow_core.xcom as x
            on x.run_key = p_run_key and x.task_idx = s.upstream_idx and x.task_idx between v_first and v_last
                and x.map_index = -1 and x.key = 'return_value'
    ),
    page as (
        select z.* from sized as z
        where coalesce(z.bytes_before, 0) < p_max_bytes
        order by z.upstream_idx
    )
    select
        string_agg(g.task_id, e'\n'), string_agg(octet_length(g.value)::text, ','), string_agg(g.value, ','::bytea),
        max(g.upstream_idx), count(*) < max(g.total)
    into task_ids, lengths, document, last_idx, has_more
    from page as g;
end
$$;
comment on function leoflow_core.reduce_page(bigint, bigint, int, int, bigint) is
'The return values a task''s list parameters are made of, as many as fit, as one document.';
