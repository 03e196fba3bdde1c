alter table leoflow_core.task_log drop column is_last;
