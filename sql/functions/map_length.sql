-- How many instances a map over p_inputs has in a run: the product of the inputs' lengths. Null while, or when, the
-- length of one is not known. Locks: none. Callers: expand_task.
create or replace function leoflow_core.map_length(p_run_key bigint, p_version_key bigint, p_inputs jsonb)
returns numeric language plpgsql stable as $$
declare
    v_input jsonb;
    v_length numeric;
    v_product numeric := 1;
begin
    for v_input in select i.input from jsonb_array_elements(p_inputs) as i(input) loop
        v_length := leoflow_core.map_input_length(p_run_key, p_version_key, v_input);
        if v_length is null then
            return null;
        end if;
        v_product := v_product * v_length;
    end loop;
    return v_product;
end
$$;
comment on function leoflow_core.map_length(bigint, bigint, jsonb) is 'How many instances a map has in a run.';

-- The length of one input, described as in dag.json: a literal, a task's result, or `map`, `zip`, `concat` of such
-- (Airflow, get_task_map_length). Locks: none. Callers: map_length.
create or replace function leoflow_core.map_input_length(p_run_key bigint, p_version_key bigint, p_input jsonb)
returns numeric language plpgsql stable as $$
declare
    v_lengths numeric[];
begin
    case p_input ->> 'type'
        when 'literal' then
            return (p_input ->> 'length')::numeric;
        when 'xcom' then
            return leoflow_core.result_length(p_run_key, p_version_key, p_input ->> 'task_id');
        when 'map' then
            return leoflow_core.map_input_length(p_run_key, p_version_key, p_input -> 'arg');
        when 'zip', 'concat' then
            select array_agg(leoflow_core.map_input_length(p_run_key, p_version_key, a.arg)) into v_lengths
            from jsonb_array_elements(p_input -> 'args') as a(arg);
            if array_position(v_lengths, null) is not null then
                return null;
            end if;
            return (
                select case
                    when p_input ->> 'type' = 'concat' then sum(l.length)
                    when p_input ? 'fillvalue' then max(l.length)
                    else min(l.length) end
                from unnest(v_lengths) as l(length)
            );
        else
            return null;
    end case;
end
$$;
comment on function leoflow_core.map_input_length(bigint, bigint, jsonb) is 'The length of one input of a map.';

-- How many values a task's result holds for a map: the length of the value it returned, or, of a mapped task, how many
-- of its instances returned one, once all are done. Null: not known. Locks: none. Callers: map_input_length.
create or replace function leoflow_core.result_length(p_run_key bigint, p_version_key bigint, p_task_id text)
returns int language plpgsql stable
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
    v_task leoflow_core.task;
begin
    select t.* into v_task from leoflow_core.task as t where t.version_key = p_version_key and t.task_id = p_task_id;
    if not v_task.is_mapped then
        return (
            select x.mapped_length from leoflow_core.xcom as x
            where x.run_key = p_run_key and x.task_idx = v_task.task_idx and x.map_index = -1 and x.key = 'return_value'
        );
    end if;
    if exists (
        select from leoflow_core.task_instance as t
        where t.run_key = p_run_key and t.task_idx = v_task.task_idx
            and (t.state is null or t.state not in ('success', 'failed', 'skipped', 'upstream_failed', 'removed'))
    ) then
        return null;
    end if;
    return (
        select count(*) from leoflow_core.xcom as x
        where x.run_key = p_run_key and x.task_idx = v_task.task_idx and x.map_index >= 0 and x.key = 'return_value'
    );
end
$$;
comment on function leoflow_core.result_length(bigint, bigint, text) is
'How many values a task''s result holds for a map.';
