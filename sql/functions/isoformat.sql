-- A timestamp as Python's datetime.isoformat() prints it in UTC. Locks: none. Callers: create_run, retry_delay.
create or replace function leoflow_core.isoformat(p_time timestamptz, p_separator text default 'T') returns text
language sql immutable parallel safe as $$
    select to_char(p_time at time zone 'UTC', 'YYYY-MM-DD')
        || p_separator || to_char(p_time at time zone 'UTC', 'HH24:MI:SS')
        || case when extract(microseconds from p_time)::bigint % 1000000 = 0 then ''
            else to_char(p_time at time zone 'UTC', '.US') end
        || '+00:00'
$$;
comment on function leoflow_core.isoformat(timestamptz, text) is 'A timestamp as Python''s isoformat() prints it in UTC.';
