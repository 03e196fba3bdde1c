-- Connections without their secrets. Readers: users, CLI.
create or replace view leoflow.connections as
select
    c.connection_id, c.conn_type, c.description, c.host, c.schema, c.login, c.port,
    c.password is not null as has_password, c.extra is not null as has_extra, c.created_at, c.updated_at
from leoflow_core.connection as c;
comment on view leoflow.connections is 'Connections without their secrets.';
