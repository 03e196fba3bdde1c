-- Refuses a dag.json the engine cannot run, with LF422 and a remedy. Whatever needs the edges' order (cycles) is
-- checked by register_tasks.
-- Locks: none. Callers: register_version.
create or replace function leoflow_core.validate_spec(p_spec jsonb) returns void language plpgsql as $$
declare
    v_tasks jsonb := p_spec -> 'tasks';
    v_text text;
    v_upstream text;
begin
    if jsonb_typeof(p_spec) is distinct from 'object' or jsonb_typeof(v_tasks) is distinct from 'array' then
        perform leoflow_core.reject('LF422', 'the spec is not a dag.json', 'compile the project again with `leoflow compile`');
    end if;
    if pg_column_size(p_spec) > leoflow_core.setting('max_spec_bytes') then
        perform leoflow_core.reject('LF422',
            format('the spec is larger than %s bytes', leoflow_core.setting('max_spec_bytes')),
            'keep large literals out of task arguments: read them inside the task');
    end if;
    if leoflow_core.is_too_deep(p_spec) then
        perform leoflow_core.reject('LF422', 'the spec is nested more than 200 levels deep',
            'keep deep values out of params and task arguments: read them inside the task');
    end if;
    select f.name into v_text
    from (
        values ('max_active_runs', true, 0::numeric, 2147483647::numeric), ('max_active_tasks', true, 1, 2147483647),
        ('max_consecutive_failed_dag_runs', true, 0, 2147483647), ('dagrun_timeout_seconds', false, 0, 86400000000000)
    ) as f(name, is_whole, lowest, highest)
    where case
        when jsonb_typeof(p_spec -> f.name) = 'number' then
            not ((p_spec ->> f.name)::numeric between f.lowest and f.highest)
            or (f.is_whole and (p_spec ->> f.name)::numeric % 1 <> 0)
        else jsonb_typeof(p_spec -> f.name) <> 'null' end;
    if found then
        perform leoflow_core.reject('LF422', format('%s of the DAG is out of range: %s', v_text, left(p_spec ->> v_text, 60)),
            'max_active_tasks is at least 1, the other limits and dagrun_timeout are not negative');
    end if;
    select f.name into v_text from (values ('start_date'), ('end_date')) as f(name)
    where p_spec ->> f.name is not null and not leoflow_core.is_moment(p_spec ->> f.name);
    if found then
        perform leoflow_core.reject('LF422', format('%s of the DAG is no moment: %s', v_text, left(p_spec ->> v_text, 60)),
            'an ISO 8601 date and time of the years 1 to 9999, for example 2026-01-31T06:00:00+00:00');
    end if;
    if not leoflow_core.is_zone(p_spec ->> 'timezone') then
        perform leoflow_core.reject('LF422', format('timezone of the DAG is unknown: %s', left(p_spec ->> 'timezone', 60)),
            'an IANA name such as Europe/Berlin');
    end if;
    v_text := p_spec ->> 'dag_id';
    if coalesce(v_text, '') = '' or length(v_text) > 250 then
        perform leoflow_core.reject('LF422', 'dag_id must have 1 to 250 characters', 'shorten the dag_id');
    end if;
    if jsonb_array_length(v_tasks) > leoflow_core.setting('max_tasks') then
        perform leoflow_core.reject('LF422',
            format('the DAG has %s tasks, more than %s', jsonb_array_length(v_tasks), leoflow_core.setting('max_tasks')),
            'split the DAG, or map over the data with .expand()');
    end if;
    select t.spec ->> 'task_id' into v_text from jsonb_array_elements(v_tasks) as t(spec)
    where coalesce(t.spec ->> 'task_id', '') = '' or length(t.spec ->> 'task_id') > 250 limit 1;
    if found then
        perform leoflow_core.reject('LF422', format('task_id must have 1 to 250 characters: %s…', left(v_text, 60)),
            'shorten the task_id');
    end if;
    select t.spec ->> 'task_id' into v_text from jsonb_array_elements(v_tasks) as t(spec)
    group by 1 having count(*) > 1 limit 1;
    if found then
        perform leoflow_core.reject('LF422', format('task_id is used twice: %s', v_text), 'give each task its own task_id');
    end if;
    select t.spec ->> 'task_id', u.task_id into v_text, v_upstream
    from jsonb_array_elements(v_tasks) as t(spec)
    cross join lateral jsonb_array_elements_text(coalesce(t.spec -> 'depends_on', '[]')) as u(task_id)
    where u.task_id not in (select d.spec ->> 'task_id' from jsonb_array_elements(v_tasks) as d(spec)) limit 1;
    if found then
        perform leoflow_core.reject('LF422', format('task %s depends on an unknown task: %s', v_text, v_upstream),
            'correct depends_on, or compile the project again');
    end if;
    select t.spec ->> 'trigger_rule' into v_text from jsonb_array_elements(v_tasks) as t(spec)
    where coalesce(t.spec ->> 'trigger_rule', 'all_success')
        not in (select r.rule::text from unnest(enum_range(null::leoflow.trigger_rule)) as r(rule)) limit 1;
    if found then
        perform leoflow_core.reject('LF422', format('unknown trigger rule: %s', v_text),
            format('one of %s', array_to_string(enum_range(null::leoflow.trigger_rule), ', ')));
    end if;
    perform leoflow_core.validate_tasks(v_tasks);
    perform leoflow_core.validate_groups(p_spec);
end
$$;
comment on function leoflow_core.validate_spec(jsonb) is 'Refuses a dag.json the engine cannot run.';
