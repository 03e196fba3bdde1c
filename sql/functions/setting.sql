-- A threshold of the engine as a number. Locks: none. Callers: reap, register_version.
create or replace function leoflow_core.setting(p_key text) returns numeric language sql stable as $$
    select (s.value #>> '{}')::numeric from leoflow_core.setting as s where s.key = p_key
$$;
comment on function leoflow_core.setting(text) is 'A numeric setting of the engine.';
