delete from leoflow_core.task_instance_transition where from_state = 'none' and to_state = 'failed' and by = 'propagate';
delete from leoflow_core.setting where key = 'max_mapped_instances';
alter table leoflow_core.task_instance_history drop column expands;
alter table leoflow_core.task_instance drop column expands;
alter table leoflow_core.task_edge drop column is_indexed;
alter table leoflow_core.task drop column expands;
alter table leoflow_core.task drop column map_group_id;
alter table leoflow_core.task drop column map_inputs;
alter table leoflow_core.task drop column map_length;
