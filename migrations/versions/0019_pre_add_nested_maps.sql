-- Mapped groups inside mapped groups: which instances an edge joins, when one of its ends is mapped further than the
-- other.
alter table leoflow_core.task_edge add column fan_inputs jsonb;
alter table leoflow_core.task_edge add column fan int;
alter table leoflow_core.task_edge add column is_ranged boolean not null default false;
comment on column leoflow_core.task_edge.is_indexed is
'Inside one mapped group: an instance depends on the upstream''s instance with the same map_index alone, or as '
'fan_inputs says.';
comment on column leoflow_core.task_edge.fan_inputs is
'The inputs of the mapped groups that only the downstream is in, inside the innermost one both are in. Their lengths '
'multiplied are n: instance i depends on the upstream''s instance i / n. Null: there are no such groups.';
comment on column leoflow_core.task_edge.fan is
'n, if fan_inputs are literals; else see map_fan.';
comment on column leoflow_core.task_edge.is_ranged is
'The upstream is in further mapped groups too: instance i depends on the n upstream instances from i / n * n on.';

create table leoflow_core.map_fan (
    run_key bigint not null,
    task_idx int not null,
    fan_inputs jsonb not null,
    fan int,
    primary key (run_key, task_idx, fan_inputs)
);
comment on table leoflow_core.map_fan is
'What the fans of the edges to a task in nested mapped groups were when it was expanded last; counters go by them until '
'it is expanded again.';
comment on column leoflow_core.map_fan.run_key is 'The run.';
comment on column leoflow_core.map_fan.task_idx is 'The downstream task.';
comment on column leoflow_core.map_fan.fan_inputs is 'As in task_edge.';
comment on column leoflow_core.map_fan.fan is 'Null: not known, or too many for there to be instances.';
