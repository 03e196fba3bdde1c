-- Where claims look (decision 0006): under an old snapshot the dead index entries of ended runs stay, and only equal
-- priorities let the low watermark skip them.
create table leoflow_core.priority_band (
    queue_key int not null,
    first_key int not null,
    pool_key int not null,
    last_key int not null,
    primary key (queue_key, first_key, pool_key)
);
comment on table leoflow_core.priority_band is
'Ranges of priorities (as ready_key and gate_key: minus the priority) that tasks of a queue and pool have or had.';

with used as (select distinct t.queue_key, t.pool_key, t.priority, abs(t.priority::bigint) as size from leoflow_core.task as t),

banded as (
    select
        u.*,
        u.size - u.size % (1::bigint << greatest(length(ltrim(u.size::bit(32)::text, '0')) - 4, 0)) as low,
        1::bigint << greatest(length(ltrim(u.size::bit(32)::text, '0')) - 4, 0) as width
    from used as u
)

insert into leoflow_core.priority_band (queue_key, first_key, pool_key, last_key)
select distinct
    b.queue_key,
    (case when b.priority > 0 then 1 - b.low - b.width else least(b.low, 2147483647) end)::int,
    b.pool_key,
    (case when b.priority > 0 then -b.low else least(b.low + b.width - 1, 2147483647) end)::int
from banded as b;

-- Counting what a pool has in use looks at tokens of unfinished runs alone.
-- squawk-ignore require-concurrent-index-deletion
drop index leoflow_core.gate_token_by_pool;
-- squawk-ignore require-concurrent-index-creation
create index gate_token_by_pool on leoflow_core.gate_token (pool_key, run_key) include (pool_slots);

-- Room for all three versions of an instance (created, claimed, finished): then every finish is a HOT update also while
-- nothing may be pruned, because other claims run or an old snapshot is held (decision 0006, with the numbers).
alter table leoflow_core.task_instance set (fillfactor = 28);
-- Registration updates each task once: with room beside it, tasks stay in key order, in which runs read them.
alter table leoflow_core.task set (fillfactor = 50);
