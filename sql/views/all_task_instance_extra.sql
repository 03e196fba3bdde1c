-- Contract: rare attributes of task instances, live and in history; as all_task_instances. Callers: views and queries.
create or replace view leoflow_core.all_task_instance_extra as
select * from leoflow_core.task_instance_extra
union all
select * from leoflow_core.task_instance_extra_history;

comment on view leoflow_core.all_task_instance_extra is 'Rare attributes of task instances, live and in history.';
