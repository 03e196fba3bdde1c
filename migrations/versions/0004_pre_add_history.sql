-- Finished runs' instances leave the hot table for time-partitioned history (decision 0003).
create table leoflow_core.task_instance_history (
    like leoflow_core.task_instance including defaults including constraints,
    primary key (run_key, task_idx, map_index)
) partition by range (run_key);
comment on table leoflow_core.task_instance_history is
'Task instances of runs that ended a while ago; same columns as task_instance. Partitioned by run_key, so by time.';
create table leoflow_core.task_instance_history_default partition of leoflow_core.task_instance_history default;

create table leoflow_core.task_instance_extra_history (
    like leoflow_core.task_instance_extra including defaults including constraints,
    primary key (run_key, task_idx, map_index)
) partition by range (run_key);
comment on table leoflow_core.task_instance_extra_history is
'Rare attributes of the instances in task_instance_history; same columns as task_instance_extra.';
create table leoflow_core.task_instance_extra_history_default
partition of leoflow_core.task_instance_extra_history default;

-- Superseded attempts are only ever added: that table needs no live twin.
-- squawk-ignore renaming-table
alter table leoflow_core.task_attempt_history rename to task_attempt_history_default;
-- squawk-ignore renaming-object
alter index leoflow_core.task_attempt_history_pkey rename to task_attempt_history_default_pkey;
create table leoflow_core.task_attempt_history (
    like leoflow_core.task_attempt_history_default including defaults including constraints,
    primary key (run_key, task_idx, map_index, try_number, attempt_id)
) partition by range (run_key);
alter table leoflow_core.task_attempt_history
attach partition leoflow_core.task_attempt_history_default default;
comment on table leoflow_core.task_attempt_history is
'Attempts that were superseded by a later one. Partitioned by run_key, so by time.';

alter table leoflow_core.dag_run add column archived_at timestamptz;
comment on column leoflow_core.dag_run.archived_at is 'When its instances were moved to history; null while they are live.';
-- squawk-ignore require-concurrent-index-creation
create index dag_run_unarchived on leoflow_core.dag_run (end_date)
where state in ('success', 'failed') and archived_at is null;

insert into leoflow_core.setting (key, value, description) values
('history_after_seconds', '300', 'How long after its end a run''s instances stay in the hot tables.');
