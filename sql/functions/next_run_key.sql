-- A new run key: milliseconds since 1970 shifted left by 20, plus a sequence. So keys sort by creation time and are
-- the partition key of XComs and logs.
-- Locks: none. Callers: create_run.
create or replace function leoflow_core.next_run_key() returns bigint language sql volatile as $$
    select ((extract(epoch from clock_timestamp()) * 1000)::bigint << 20)
        | (nextval('leoflow_core.run_seq') & 1048575)
$$;
comment on function leoflow_core.next_run_key() is 'A new time-ordered run key.';
