-- name: one
select * from leoflow.pools where name = %(name)s;

-- name: lock
select name, slots, description, include_deferred from leoflow_core.pool where name = %(name)s for update;

-- name: existing
select name from leoflow_core.pool where name = any(%(keys)s);

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

-- name: delete
delete from leoflow_core.pool as p
where p.name = %(name)s and not exists (select from leoflow_core.task as t where t.pool_key = p.pool_key);
