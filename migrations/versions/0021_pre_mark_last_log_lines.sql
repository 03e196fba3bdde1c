-- So that who follows a log knows when it has all of it: the state of an attempt is known before its last lines are.
alter table leoflow_core.task_log add column is_last boolean not null default false;
comment on column leoflow_core.task_log.is_last is 'No more lines of this attempt come: its process has ended and all was read.';
