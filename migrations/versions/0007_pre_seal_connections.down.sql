-- What was sealed cannot be opened here: connections keep their ids, types and descriptions only.
drop view if exists leoflow.connections;
alter table leoflow_core.connection
drop column sealed,
add column host text,
add column schema text,
add column login text,
add column port int,
add column password bytea,
add column extra bytea;
comment on table leoflow_core.connection is 'Airflow connections; password and extra encrypted by the caller.';
