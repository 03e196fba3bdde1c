-- name: one
select * from leoflow.pools where name = %(name)s;

-- name: lock
select name, slots, description, include_deferred from leoflow_core.pool where name = %(name)s for update;

-- name: existing
select name from leoflow_core.pool where name = any(%(keys)s);

-- name: insert
insert into leoflow_core.pool (name, slots, description, include_deferred)
values (%(name)s, %(slots)s, %(description)s, %(include_deferred)s)
on conflict (name) do nothing;

-- name: put
insert into leoflow_core.pool (name, slots, description, include_deferred)
values (%(name)s, %(slots)s, %(description)s, %(include_deferred)s)
on conflict (name) do update
    set slots = excluded.slots, description = excluded.description, include_deferred = excluded.include_deferred;

-- name: update
update leoflow_core.pool
set slots = %(slots)s, description = %(description)s, include_deferred = %(include_deferred)s
where name = %(name)s;

-- name: delete
delete from leoflow_core.pool where name = %(name)s;
