-- What every new run of a version starts with, counted once and not in each create_run.
alter table leoflow_core.dag_version add column instance_count int not null default 0;
alter table leoflow_core.dag_version add column counted_count int not null default 0;
alter table leoflow_core.dag_version add column end_slots int not null default 0;
alter table leoflow_core.dag_version add column expands boolean not null default false;
alter table leoflow_core.dag_version add column expands_at_start boolean not null default false;
comment on column leoflow_core.dag_version.instance_count is 'Task instances a run starts with.';
comment on column leoflow_core.dag_version.counted_count is 'How many of them the end of the run waits for (task.is_counted).';
comment on column leoflow_core.dag_version.end_slots is 'Slots the end of a run is counted in; 0: in the run itself.';
comment on column leoflow_core.dag_version.expands is 'Whether the number of instances of any task is found at run time.';
comment on column leoflow_core.dag_version.expands_at_start is 'Whether that is so for a task that waits for nothing.';
comment on column leoflow_core.dag_version.has_slotted is 'Whether runs start with slots of join_slot: for a large join, or for their end.';

create table leoflow_core.join_slot (
    version_key bigint not null references leoflow_core.dag_version on delete cascade,
    task_idx int not null,
    slot smallint not null,
    waiting int not null,
    trigger_rule leoflow.trigger_rule not null default 'all_done',
    primary key (version_key, task_idx, slot)
);
comment on table leoflow_core.join_slot is
'The slots a run of the version starts with (join_counter): of its joins with more than 64 upstreams and, as task_idx -1, '
'of its end.';

with total as (
    select
        t.version_key,
        sum(coalesce(t.map_length, 1)) as instances,
        coalesce(sum(coalesce(t.map_length, 1)) filter (where t.is_counted), 0) as counted,
        bool_or(t.expands) as expands,
        bool_or(t.expands and (t.upstream_count + t.extra_count = 0 or t.trigger_rule = 'always')) as at_start
    from leoflow_core.task as t
    group by t.version_key
)

update leoflow_core.dag_version as v
set
    instance_count = c.instances, counted_count = c.counted, expands = c.expands, expands_at_start = c.at_start
from total as c
where c.version_key = v.version_key;

insert into leoflow_core.join_slot (version_key, task_idx, slot, waiting, trigger_rule)
select
    e.version_key, e.downstream_idx, ((e.upstream_idx + i.map_index) & 15)::smallint, count(*), d.trigger_rule
from leoflow_core.task_edge as e
inner join leoflow_core.task as d on d.version_key = e.version_key and d.task_idx = e.downstream_idx
inner join leoflow_core.task as u on u.version_key = e.version_key and u.task_idx = e.upstream_idx
cross join lateral generate_series(0, coalesce(u.map_length, 1) - 1) as i (map_index)
where e.is_slotted
group by e.version_key, e.downstream_idx, ((e.upstream_idx + i.map_index) & 15)::smallint, d.trigger_rule;

insert into leoflow_core.join_slot (version_key, task_idx, slot, waiting)
select t.version_key, -1, ((t.task_idx + i.map_index) & 15)::smallint, count(*)
from leoflow_core.task as t
inner join leoflow_core.dag_version as v on v.version_key = t.version_key
cross join lateral generate_series(0, coalesce(t.map_length, 1) - 1) as i (map_index)
where t.is_counted and (v.expands or v.counted_count > 64)
group by t.version_key, ((t.task_idx + i.map_index) & 15)::smallint;

update leoflow_core.dag_version as v
set
    has_slotted = exists (select from leoflow_core.join_slot as s where s.version_key = v.version_key),
    end_slots = (
        select count(*) from leoflow_core.join_slot as s where s.version_key = v.version_key and s.task_idx = -1
    );

-- squawk-ignore require-concurrent-index-creation
create index task_mapped on leoflow_core.task (version_key, task_idx) where map_length is not null;
