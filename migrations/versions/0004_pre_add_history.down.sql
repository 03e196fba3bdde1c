delete from leoflow_core.setting where key = 'history_after_seconds';
insert into leoflow_core.task_instance select * from leoflow_core.task_instance_history;
drop table leoflow_core.task_instance_history;
insert into leoflow_core.task_instance_extra select * from leoflow_core.task_instance_extra_history;
drop table leoflow_core.task_instance_extra_history;
drop index leoflow_core.dag_run_unarchived;
alter table leoflow_core.dag_run drop column archived_at;

create table leoflow_core.task_attempt_history_plain (
    like leoflow_core.task_attempt_history including defaults including constraints including comments,
    primary key (run_key, task_idx, map_index, try_number, attempt_id)
);
insert into leoflow_core.task_attempt_history_plain select * from leoflow_core.task_attempt_history;
drop table leoflow_core.task_attempt_history;
alter table leoflow_core.task_attempt_history_plain rename to task_attempt_history;
alter index leoflow_core.task_attempt_history_plain_pkey rename to task_attempt_history_pkey;
comment on table leoflow_core.task_attempt_history is 'Attempts that were superseded by a later one.';
