alter table leoflow_core.task_instance set (fillfactor = 70);
