drop table leoflow_core.map_fan;
alter table leoflow_core.task_edge drop column is_ranged;
alter table leoflow_core.task_edge drop column fan;
alter table leoflow_core.task_edge drop column fan_inputs;
comment on column leoflow_core.task_edge.is_indexed is
'Inside one mapped group: an instance depends on the upstream''s instance with the same map_index alone.';
