-- Refuses tasks the engine cannot keep or run: numbers out of range, names that lead nowhere. Raises LF422, which names
-- the task, the field and the rule. Durations are at most what a timedelta holds, 10^9 days.
-- Locks: none. Callers: validate_spec.
create or replace function leoflow_core.validate_tasks(p_tasks jsonb) returns void language plpgsql
set jit = off
as $$
declare
    v_bad record;
begin
    select t.spec ->> 'task_id' as task_id, f.name, left(t.spec ->> f.name, 60) as given, f.lowest, f.highest into v_bad
    from jsonb_array_elements(p_tasks) as t(spec)
    cross join (
        values
        ('retries', true, 0::numeric, 1000000000::numeric), ('pool_slots', true, 1, 1000000000),
        ('max_active_tis_per_dag', true, 0, 2147483647), ('max_active_tis_per_dagrun', true, 0, 2147483647),
        ('retry_delay_seconds', false, 0, 86400000000000), ('execution_timeout_seconds', false, 0, 86400000000000),
        ('max_retry_delay_seconds', false, -86400000000000, 86400000000000),
        ('retry_exponential_backoff', false, 0, 1000000000)
    ) as f(name, is_whole, lowest, highest)
    where case
        when jsonb_typeof(t.spec -> f.name) = 'number' then
            not ((t.spec ->> f.name)::numeric between f.lowest and f.highest)
            or (f.is_whole and (t.spec ->> f.name)::numeric % 1 <> 0)
        else jsonb_typeof(t.spec -> f.name) <> 'null' end
    limit 1;
    if found then
        perform leoflow_core.reject('LF422',
            format('%s is out of range in task %s: %s', v_bad.name, v_bad.task_id, v_bad.given),
            format('a number from %s to %s', v_bad.lowest, v_bad.highest));
    end if;
    select g.* into v_bad
    from (
        -- most tasks have their DAG's
        select min(t.spec ->> 'task_id') as task_id, f.name, t.spec -> 'extra' ->> f.name as given
        from jsonb_array_elements(p_tasks) as t(spec)
        cross join (values ('start_date'), ('end_date')) as f(name)
        group by f.name, t.spec -> 'extra' ->> f.name
    ) as g
    where not leoflow_core.is_moment(g.given) limit 1;
    if found then
        perform leoflow_core.reject('LF422',
            format('%s of task %s is no moment: %s', v_bad.name, v_bad.task_id, left(v_bad.given, 60)),
            'an ISO 8601 date and time of the years 1 to 9999, for example 2026-01-31T06:00:00+00:00');
    end if;
    select t.spec ->> 'task_id' as task_id, f.name into v_bad
    from jsonb_array_elements(p_tasks) as t(spec)
    cross join (values ('pool'), ('queue')) as f(name)
    where t.spec ->> f.name = '' or length(t.spec ->> f.name) > 256 limit 1;
    if found then
        perform leoflow_core.reject('LF422', format('the %s of task %s must have 1 to 256 characters', v_bad.name, v_bad.task_id),
            format('shorten the name of the %s', v_bad.name));
    end if;
    select t.spec ->> 'task_id' as task_id, u.task_id as upstream_id into v_bad
    from jsonb_array_elements(p_tasks) as t(spec)
    cross join lateral jsonb_path_query(t.spec -> 'xcom_input', '$.*[*]') as i(upstream)
    cross join lateral (select i.upstream #>> '{}' as task_id) as u
    where u.task_id not in (select d.spec ->> 'task_id' from jsonb_array_elements(p_tasks) as d(spec)) limit 1;
    if found then
        perform leoflow_core.reject('LF422',
            format('xcom_input of task %s names an unknown task: %s', v_bad.task_id, v_bad.upstream_id),
            'compile the project again');
    end if;
end
$$;
comment on function leoflow_core.validate_tasks(jsonb) is 'Refuses tasks the engine cannot keep or run.';
