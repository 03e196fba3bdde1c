-- name: one
select * from leoflow.pools where name = %(name)s and not is_implied;

-- name: lock
select name, slots, description, include_deferred from leoflow_core.pool
where name = %(name)s and not is_implied for update;

-- name: existing
select name from leoflow_core.pool where name = any(%(keys)s) and not is_implied;

-- name: insert
insert into leoflow_core.pool (name, slots, description, include_deferred)
values (%(name)s, %(slots)s, %(description)s, %(include_deferred)s)
on conflict (name) do update
    set
        slots = excluded.slots, description = excluded.description, include_deferred = excluded.include_deferred,
        is_implied = false
    where pool.is_implied;

-- name: put
insert into leoflow_core.pool (name, slots, description, include_deferred)
values (%(name)s, %(slots)s, %(description)s, %(include_deferred)s)
on conflict (name) do update
    set
        slots = excluded.slots, description = excluded.description, include_deferred = excluded.include_deferred,
        is_implied = false;

-- name: update
update leoflow_core.pool
set slots = %(slots)s, description = %(description)s, include_deferred = %(include_deferred)s, is_implied = false
where name = %(name)s;

-- name: changed
select leoflow_core.pool_changed(%(name)s);

-- name: delete
select leoflow_core.delete_pool(%(name)s) as deleted;
