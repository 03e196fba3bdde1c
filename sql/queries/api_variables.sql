-- name: one
select key, value, description from leoflow_core.variable where key = %(key)s;

-- name: lock
-- As `get`, for an update that depends on the old value.
select key, value, description from leoflow_core.variable where key = %(key)s for update;

-- name: existing
select key from leoflow_core.variable where key = any(%(keys)s);

-- name: insert
insert into leoflow_core.variable (key, value, description)
values (%(key)s, %(value)s, %(description)s)
on conflict (key) do nothing;

-- name: put
insert into leoflow_core.variable (key, value, description)
values (%(key)s, %(value)s, %(description)s)
on conflict (key) do update set
    value = excluded.value, description = excluded.description, updated_at = clock_timestamp();

-- name: update
update leoflow_core.variable
set value = %(value)s, description = %(description)s, updated_at = clock_timestamp()
where key = %(key)s;

-- name: delete
delete from leoflow_core.variable where key = %(key)s;
