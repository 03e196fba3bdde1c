-- Contract: task instances, live and in history, with the columns of leoflow_core.task_instance. Everything that reads
-- instances of runs that may have ended reads this; a condition on run_key reaches both sides and one partition.
-- The planner has no statistics of a union's columns: join what exists for every instance (task, pool, …) with left join,
-- or it expects a two-hundredth of the rows per join and sorts everything instead of walking the key.
-- Writers change leoflow_core.task_instance, after restore_run or lock_run. Callers: views and queries.
create or replace view leoflow_core.all_task_instances as
select * from leoflow_core.task_instance
union all
select * from leoflow_core.task_instance_history;

comment on view leoflow_core.all_task_instances is 'Task instances, live and in history.';
