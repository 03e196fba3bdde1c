-- The key of a pool. A pool nobody created is remembered with no slots, so that its tasks wait, as in Airflow.
-- Locks: the pool's row when it is new. Callers: register_version.
create or replace function leoflow_core.pool_key(p_name text) returns int language plpgsql as $$
declare
    v_key int;
begin
    select p.pool_key into v_key from leoflow_core.pool as p where p.name = p_name;
    if v_key is null then
        insert into leoflow_core.pool as p (name, slots, is_implied) values (p_name, 0, true)
        on conflict (name) do update set name = excluded.name returning p.pool_key into v_key;
    end if;
    return v_key;
end
$$;
comment on function leoflow_core.pool_key(text) is 'The key of a pool; one that nobody created has no slots.';
