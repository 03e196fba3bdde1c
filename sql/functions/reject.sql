-- Raises an error a user sees: SQLSTATE of class LF (LF404 unknown, LF409 conflict, LF410 lease lost, LF422 invalid)
-- with a hint. Locks: none. Callers: everything.
create or replace function leoflow_core.reject(p_sqlstate text, p_message text, p_hint text default null) returns void
language plpgsql as $$
begin
    raise exception using errcode = p_sqlstate, message = p_message, hint = coalesce(p_hint, '');
end
$$;
comment on function leoflow_core.reject(text, text, text) is 'Raises a user-facing error with SQLSTATE class LF and a hint.';
