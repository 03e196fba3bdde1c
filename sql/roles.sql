-- Roles: leoflow_reader reads the public views, leoflow_operator also acts through the public functions, leoflow_app
-- is what the processes log in as. Re-runnable. Skipped where the caller may not create roles (a managed database):
-- an administrator then creates the roles, and the next migration grants.
do $$
declare
    r text;
    f regprocedure;
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
    -- a view reads its tables as its owner, but calls its functions as whoever asks
    for f in
        select distinct d.refobjid::regprocedure
        from pg_depend as d
        join pg_rewrite as w on w.oid = d.objid
        join pg_class as c on c.oid = w.ev_class
        where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_proc'::regclass
            and c.relnamespace in ('leoflow'::regnamespace, 'leoflow_core'::regnamespace)
    loop
        foreach r in array array['leoflow_reader', 'leoflow_operator'] loop
            if exists (select from pg_roles where rolname = r) then
                execute format('grant execute on function %s to %I', f, r);
            end if;
        end loop;
    end loop;
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
