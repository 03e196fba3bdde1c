-- The smallest run key of a point in time: bounds of partitions and retention.
-- Locks: none. Callers: maintain_partitions, retain.
create or replace function leoflow_core.run_key_at(p_time timestamptz) returns bigint
language sql immutable parallel safe as $$
    select (extract(epoch from p_time) * 1000)::bigint << 20
$$;
comment on function leoflow_core.run_key_at(timestamptz) is 'The smallest run key of a point in time.';
