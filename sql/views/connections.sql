-- Connections without what is sealed in them: host, schema, login, port, password and extra. Readers: users, CLI.
create or replace view leoflow.connections as
select c.connection_id, c.conn_type, c.description, c.created_at, c.updated_at
from leoflow_core.connection as c;
comment on view leoflow.connections is 'Connections without their secrets.';
