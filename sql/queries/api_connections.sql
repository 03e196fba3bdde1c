-- name: one
select * from leoflow_core.connection where connection_id = %(connection_id)s;

-- name: lock
select * from leoflow_core.connection where connection_id = %(connection_id)s for update;

-- name: existing
select connection_id from leoflow_core.connection where connection_id = any(%(keys)s);

-- name: insert
insert into leoflow_core.connection
(connection_id, conn_type, description, sealed)
values (%(connection_id)s, %(conn_type)s, %(description)s, %(sealed)s)
on conflict (connection_id) do nothing;

-- name: put
insert into leoflow_core.connection
(connection_id, conn_type, description, sealed)
values (%(connection_id)s, %(conn_type)s, %(description)s, %(sealed)s)
on conflict (connection_id) do update set
    conn_type = excluded.conn_type, description = excluded.description, sealed = excluded.sealed,
    updated_at = clock_timestamp();

-- name: delete
delete from leoflow_core.connection where connection_id = %(connection_id)s;
