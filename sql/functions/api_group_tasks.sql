-- Contract: the ids of the tasks inside a group of a version, nested groups included.
-- Locks: none. Callers: the API's filter `task_group_id`.
create or replace function leoflow_core.api_group_tasks(p_version_key bigint, p_group_id text)
returns setof int
language sql stable parallel safe rows 20
begin atomic
    with recursive nested as (
        select p_group_id as group_id
        union
        select g.group_id
        from nested n
        join leoflow_core.task_group g on g.version_key = p_version_key and g.parent_group_id = n.group_id
    )
    select t.task_idx
    from nested n
    join leoflow_core.task t on t.version_key = p_version_key and t.group_id = n.group_id;
end;

comment on function leoflow_core.api_group_tasks(bigint, text) is 'Tasks inside a group, nested groups included.';
