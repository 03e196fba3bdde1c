-- Dynamic task mapping: what a version knows of its maps, and which instances wait for one.
alter table leoflow_core.task add column map_length int;
alter table leoflow_core.task add column map_inputs jsonb;
alter table leoflow_core.task add column map_group_id text;
alter table leoflow_core.task add column expands boolean not null default false;
comment on column leoflow_core.task.map_length is
'Instances a run of the version starts with: map indexes 0 … n-1. Null: one instance with map_index -1.';
comment on column leoflow_core.task.map_inputs is
'The inputs whose lengths, multiplied, are the number of instances, of the task or of the mapped group around it.';
comment on column leoflow_core.task.map_group_id is 'The innermost mapped group the task is in.';
comment on column leoflow_core.task.expands is
'Whether the number of its instances is found at run time: the instance with map_index -1 is replaced by them.';

alter table leoflow_core.task_edge add column is_indexed boolean not null default false;
comment on column leoflow_core.task_edge.is_indexed is
'Inside one mapped group: an instance depends on the upstream''s instance with the same map_index alone.';
comment on table leoflow_core.task_edge is
'Dependencies of a version. kind d: direct. s: a setup whose success the task needs though it is not a direct '
'upstream. t: a task inside a teardown''s scope, which must be done before the teardown. m: a task whose result the '
'task, or the mapped group around it, is mapped over.';

alter table leoflow_core.task_instance add column expands boolean not null default false;
alter table leoflow_core.task_instance_history add column expands boolean not null default false;
comment on column leoflow_core.task_instance.expands is
'Whether the number of instances must be looked up, for the first time or again, before this one may run.';

insert into leoflow_core.setting (key, value, description) values
('max_mapped_instances', '100000', 'Largest number of instances of one mapped task.');

insert into leoflow_core.task_instance_transition (from_state, to_state, by) values
('none', 'failed', 'propagate');
