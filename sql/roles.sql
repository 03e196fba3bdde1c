-- Roles: leoflow_reader reads the public views, leoflow_operator also acts through the public functions, leoflow_app
-- is what the processes log in as. Re-runnable. Skipped where the caller may not create roles (a managed database):
-- an administrator then creates the roles, and the next migration grants.
do $$
declare
    r text;
begin
    foreach r in array array['leoflow_reader', 'leoflow_operator', 'leoflow_app'] loop
        if not exists (select from pg_roles where rolname = r) then
            begin
                execute format('create role %I nologin', r);
            exception
                when insufficient_privilege then
                    raise notice 'role % does not exist and cannot be created here', r;
                when duplicate_object or unique_violation then
                    null; -- another database of this server made it just now
            end;
        end if;
    end loop;
    if exists (select from pg_roles where rolname = 'leoflow_reader') then
        grant usage on schema leoflow to leoflow_reader;
        grant select on all tables in schema leoflow to leoflow_reader;
    end if;
    if exists (select from pg_roles where rolname = 'leoflow_operator') then
        grant usage on schema leoflow to leoflow_operator;
        grant select on all tables in schema leoflow to leoflow_operator;
        grant execute on all functions in schema leoflow to leoflow_operator;
    end if;
    if exists (select from pg_roles where rolname = 'leoflow_app') then
        grant usage on schema leoflow, leoflow_core to leoflow_app;
        grant select, insert, update, delete on all tables in schema leoflow_core to leoflow_app;
        grant select on all tables in schema leoflow to leoflow_app;
        grant usage, select on all sequences in schema leoflow_core to leoflow_app;
        grant execute on all functions in schema leoflow, leoflow_core to leoflow_app;
    end if;
    revoke execute on all functions in schema leoflow from public;
    revoke execute on all functions in schema leoflow_core from public;
end
$$;
