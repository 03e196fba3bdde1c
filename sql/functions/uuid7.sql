-- A time-ordered UUID (RFC 9562 version 7), as Airflow uses for attempts. PostgreSQL has none before 18.
-- Locks: none. Callers: claim, propagate, register_version.
create or replace function leoflow_core.uuid7() returns uuid language sql volatile parallel safe as $$
    select encode(
        set_bit(set_bit(overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6
        ), 52, 1), 53, 1),
        'hex'
    )::uuid
$$;
comment on function leoflow_core.uuid7() is 'A time-ordered UUID, version 7.';
