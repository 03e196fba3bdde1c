-- Whether a text is a moment every reader of the database can show: ISO 8601, of the years 1 to 9999.
-- Locks: none. Callers: validate_spec, validate_tasks.
create or replace function leoflow_core.is_moment(p_text text) returns boolean language plpgsql stable as $$
begin
    return p_text ~ '^\d{4}-\d\d-\d\d' and leoflow_core.is_showable(p_text::timestamptz);
exception when datetime_field_overflow or invalid_datetime_format then
    return false;
end
$$;
comment on function leoflow_core.is_moment(text) is 'Whether a text is a moment of the years 1 to 9999.';

-- Whether a moment lies in the years 1 to 9999 of every time zone, which is what the API's clients can read.
-- Locks: none. Callers: is_moment, create_run.
create or replace function leoflow_core.is_showable(p_moment timestamptz) returns boolean language sql immutable as $$
    select p_moment >= '0001-01-02 00:00:00+00'::timestamptz and p_moment < '9999-12-31 00:00:00+00'::timestamptz
$$;
comment on function leoflow_core.is_showable(timestamptz) is 'Whether a moment lies in the years 1 to 9999.';

-- Whether a text names a time zone; a null says nothing. Locks: none. Callers: validate_spec.
create or replace function leoflow_core.is_zone(p_text text) returns boolean language plpgsql stable as $$
begin
    perform clock_timestamp() at time zone p_text;
    return true;
exception when invalid_parameter_value then
    return false;
end
$$;
comment on function leoflow_core.is_zone(text) is 'Whether a text names a time zone.';
