drop index leoflow_core.task_limited_map;
alter table leoflow_core.pool drop column is_overdrawn;
