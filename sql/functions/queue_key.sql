-- The key of a queue, created on first mention. Locks: the queue's row when it is new. Callers: register_version.
create or replace function leoflow_core.queue_key(p_name text) returns int language plpgsql as $$
declare
    v_key int;
begin
    select q.queue_key into v_key from leoflow_core.queue as q where q.name = p_name;
    if v_key is null then
        insert into leoflow_core.queue as q (name) values (p_name)
        on conflict (name) do update set name = excluded.name returning q.queue_key into v_key;
    end if;
    return v_key;
end
$$;
comment on function leoflow_core.queue_key(text) is 'The key of a queue, created on first mention.';
