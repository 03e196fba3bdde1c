-- Sealed values, for leoflow/secrets: read in batches by key and written again with another key.

-- name: lock_variables
-- A batch of variables after a key, locked until they are written.
select variable.key, variable.value
from leoflow_core.variable
where variable.key > %(after)s
order by variable.key
limit %(limit)s
for no key update;

-- name: reseal_variables
update leoflow_core.variable
set value = given.value
from unnest(%(keys)s::text[], %(values)s::bytea[]) as given (key, value)
where variable.key = given.key;

-- name: lock_connections
-- A batch of connections after an id, locked until they are written.
select connection.connection_id, connection.sealed
from leoflow_core.connection
where connection.connection_id > %(after)s
order by connection.connection_id
limit %(limit)s
for no key update;

-- name: reseal_connections
update leoflow_core.connection
set sealed = given.sealed
from unnest(%(keys)s::text[], %(values)s::bytea[]) as given (connection_id, sealed)
where connection.connection_id = given.connection_id;

-- name: readable_connections
-- Whether an upgrade left connections that are not sealed yet.
select exists (select from leoflow_core.connection where get_byte(connection.sealed, 0) = 0);
