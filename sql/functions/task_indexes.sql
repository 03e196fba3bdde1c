-- The task_idx of each task of a new version: the one its task_id has had in an earlier version of the DAG, else a new
-- one. So a run keeps its instances, XComs and logs when it moves to another version. A DAG's first version counts
-- from 0. The answer is parallel to p_task_ids.
-- Locks: none; the caller holds the DAG's row. Callers: register_tasks.
create or replace function leoflow_core.task_indexes(p_version_key bigint, p_task_ids text[]) returns int[]
language plpgsql stable
set jit = off set plan_cache_mode = auto
as $$
declare
    v_earlier bigint[];
    v_base int;
    v_indexes int[];
begin
    select array_agg(v.version_key order by v.version_key desc) into v_earlier
    from leoflow_core.dag_version as mine
    join leoflow_core.dag_version as v on v.dag_key = mine.dag_key and v.version_key <> mine.version_key
    where mine.version_key = p_version_key;
    if v_earlier is null then
        return array(select (n - 1)::int from generate_series(1, cardinality(p_task_ids)) as n order by n);
    end if;
    select coalesce(max(t.task_idx), -1) into v_base from unnest(v_earlier) as v(version_key)
    cross join lateral (
        select k.task_idx from leoflow_core.task as k where k.version_key = v.version_key order by k.task_idx desc limit 1
    ) as t;
    with wanted as materialized (select i.task_id, i.ord from unnest(p_task_ids) with ordinality as i(task_id, ord)),
    latest as materialized (
        select w.task_id, w.ord, k.task_idx
        from wanted as w
        left join leoflow_core.task as k on k.version_key = v_earlier[1] and k.task_id = w.task_id
    ),
    older as materialized (
        select distinct on (k.task_id) k.task_id, k.task_idx
        from latest as l
        cross join unnest(v_earlier[2:]) as v(version_key)
        join leoflow_core.task as k on k.version_key = v.version_key and k.task_id = l.task_id
        where l.task_idx is null
        order by k.task_id, k.version_key desc
    )
    select array_agg(
        coalesce(x.known, v_base + x.place) order by x.ord
    ) into v_indexes
    from (
        select
            l.ord, coalesce(l.task_idx, o.task_idx) as known,
            (row_number() over (partition by coalesce(l.task_idx, o.task_idx) is null order by l.ord))::int as place
        from latest as l
        left join older as o on o.task_id = l.task_id
    ) as x;
    return coalesce(v_indexes, '{}');
end
$$;
comment on function leoflow_core.task_indexes(bigint, text[]) is 'The task_idx of each task of a new version.';
