-- Refuses task groups that are not a forest of named groups, and maps whose inputs are not what the compiler writes.
-- Raises LF422.
-- Locks: none. Callers: validate_spec.
create or replace function leoflow_core.validate_groups(p_spec jsonb) returns void language plpgsql
set jit = off set enable_nestloop = off -- how many there are is not in the statistics
as $$
declare
    v_groups jsonb := coalesce(nullif(p_spec -> 'task_groups', 'null'), '[]');
    v_bad record;
begin
    select g.spec ->> 'group_id' as group_id into v_bad from jsonb_array_elements(v_groups) as g(spec)
    group by 1 having count(*) > 1 or coalesce(g.spec ->> 'group_id', '') = '' or length(g.spec ->> 'group_id') > 250 limit 1;
    if found then
        perform leoflow_core.reject('LF422',
            format('group_id is empty, too long or used twice: %s', left(v_bad.group_id, 60)),
            'give each task group its own group_id of 1 to 250 characters');
    end if;
    with recursive inside as (
        select g.spec ->> 'group_id' as group_id from jsonb_array_elements(v_groups) as g(spec)
        where g.spec ->> 'parent_group_id' is null
        union
        select g.spec ->> 'group_id' from inside as i
        join jsonb_array_elements(v_groups) as g(spec) on g.spec ->> 'parent_group_id' = i.group_id
    )
    select g.spec ->> 'group_id' as group_id, g.spec ->> 'parent_group_id' as parent_id into v_bad
    from jsonb_array_elements(v_groups) as g(spec)
    where g.spec ->> 'group_id' not in (select i.group_id from inside as i) limit 1;
    if found then
        perform leoflow_core.reject('LF422',
            format('task group %s is inside itself, or inside an unknown group: %s', v_bad.group_id, v_bad.parent_id),
            'correct parent_group_id, or compile the project again');
    end if;

    select m.id into v_bad
    from (
        select t.spec ->> 'task_id' as id, t.spec -> 'mapping' as mapping from jsonb_array_elements(p_spec -> 'tasks') as t(spec)
        union all
        select g.spec ->> 'group_id', g.spec -> 'mapping' from jsonb_array_elements(v_groups) as g(spec)
    ) as m
    where jsonb_typeof(m.mapping) = 'object' and (
        jsonb_typeof(m.mapping -> 'inputs') is distinct from 'array' or m.mapping -> 'inputs' = '[]'
        or m.mapping @? 'strict $.inputs[*] ? (@.type() != "object")'
        or m.mapping @? '$.** ? (@.type == "literal" && !(
            @.length.type() == "number" && @.length >= 0 && @.length.floor() == @.length
        ))'
        or coalesce((m.mapping -> 'length')::text ~ '[^0-9]', false) and m.mapping -> 'length' <> 'null'
    ) limit 1;
    if found then
        perform leoflow_core.reject('LF422',
            format('the mapping of %s names no inputs, or inputs without a length', v_bad.id), 'compile the project again');
    end if;
    select m.id, r.task #>> '{}' as task_id into v_bad
    from (
        select t.spec ->> 'task_id' as id, t.spec -> 'mapping' as mapping from jsonb_array_elements(p_spec -> 'tasks') as t(spec)
        union all
        select g.spec ->> 'group_id', g.spec -> 'mapping' from jsonb_array_elements(v_groups) as g(spec)
    ) as m
    cross join lateral jsonb_path_query(nullif(m.mapping, 'null') -> 'inputs', '$.** ? (@.type == "xcom").task_id') as r(task)
    where r.task #>> '{}' not in (select t.spec ->> 'task_id' from jsonb_array_elements(p_spec -> 'tasks') as t(spec)) limit 1;
    if found then
        perform leoflow_core.reject('LF422', format('%s is mapped over an unknown task: %s', v_bad.id, v_bad.task_id),
            'map over a task of the same DAG, or compile the project again');
    end if;
end
$$;
comment on function leoflow_core.validate_groups(jsonb) is 'Refuses task groups that are no forest, and maps without inputs.';

-- Refuses a version in which a task is mapped over itself or over what comes after it: it would wait for ever.
-- Raises LF422. Locks: none. Callers: register_tasks, once its edges are written.
create or replace function leoflow_core.validate_map_order(p_version_key bigint) returns void language plpgsql
set jit = off set enable_nestloop = off -- how many there are is not in the statistics
as $$
declare
    v_up int[];
    v_down int[];
    v_task text;
begin
    if not exists (select from leoflow_core.task_edge as e where e.version_key = p_version_key and e.kind = 'm') then
        return;
    end if;
    -- of what the version has: a task keeps its task_idx from version to version
    with placed as materialized (
        select t.task_idx, (row_number() over (order by t.task_idx))::int - 1 as place
        from leoflow_core.task as t where t.version_key = p_version_key
    )
    select array_agg(u.place), array_agg(d.place) into v_up, v_down
    from (
        select distinct e.upstream_idx, e.downstream_idx from leoflow_core.task_edge as e
        where e.version_key = p_version_key and e.kind in ('d', 'm')
    ) as e
    join placed as u on u.task_idx = e.upstream_idx
    join placed as d on d.task_idx = e.downstream_idx;
    if leoflow_core.topological_positions(
        (select count(*)::int from leoflow_core.task as t where t.version_key = p_version_key), v_up, v_down
    ) is null then
        select t.task_id into v_task from leoflow_core.task_edge as e
        join leoflow_core.task as t on t.version_key = p_version_key and t.task_idx = e.downstream_idx
        join leoflow_core.task as u on u.version_key = p_version_key and u.task_idx = e.upstream_idx
        where e.version_key = p_version_key and e.kind = 'm' and u.position >= t.position limit 1;
        perform leoflow_core.reject('LF422',
            format('the DAG has a cycle: task %s is mapped over itself or over what comes after it', v_task),
            'map over a task upstream of it');
    end if;
end
$$;
comment on function leoflow_core.validate_map_order(bigint) is
'Refuses a version in which a task is mapped over itself or over what comes after it.';
