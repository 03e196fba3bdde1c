-- Whether a JSON value is nested more than 200 levels deep, beyond which answers of the API cannot carry it
-- (leoflow/storable.py says the same). Small values cannot be: each level takes eight bytes.
-- Locks: none. Callers: validate_spec, create_run, create_backfill, create_asset_event.
create or replace function leoflow_core.is_too_deep(p_value jsonb) returns boolean language sql immutable as $$
    select pg_column_size(p_value) > 1500 and p_value @? '$.**{201 to last}'
$$;
comment on function leoflow_core.is_too_deep(jsonb) is 'Whether a JSON value is nested more than 200 levels deep.';
