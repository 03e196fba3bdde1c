-- Drops the state machine. Alembic's own table lives in leoflow_core, so the schema stays.
drop schema if exists leoflow cascade;

do $$
declare
    r record;
begin
    for r in
        select c.relname, c.relkind
        from pg_class as c
        join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = 'leoflow_core' and c.relkind in ('r', 'p', 'S') and not c.relispartition
            and c.relname not in ('alembic_version', 'applied_object')
    loop
        if r.relkind = 'S' then
            execute format('drop sequence if exists leoflow_core.%I cascade', r.relname);
        else
            execute format('drop table if exists leoflow_core.%I cascade', r.relname);
        end if;
    end loop;
    for r in
        select t.typname
        from pg_type as t
        join pg_namespace as n on n.oid = t.typnamespace
        left join pg_class as c on c.oid = t.typrelid
        where n.nspname = 'leoflow_core' and (t.typtype = 'e' or (t.typtype = 'c' and c.relkind = 'c'))
    loop
        execute format('drop type if exists leoflow_core.%I cascade', r.typname);
    end loop;
end
$$;
