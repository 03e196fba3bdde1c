-- What is still to be copied to the object store, where one is configured.
create table leoflow_core.log_copy (
    run_key bigint not null,
    task_idx int not null,
    map_index int not null,
    try_number int not null,
    revision int not null default 1,
    failures int not null default 0,
    due_at timestamptz not null default clock_timestamp(),
    reason text,
    primary key (run_key, task_idx, map_index, try_number)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
comment on table leoflow_core.log_copy is
'Logs of attempts not copied to the object store yet. Written with the log itself, so a log without a row here is copied '
'or was not to be; revision changes when lines came after a copy was begun.';
create index log_copy_due on leoflow_core.log_copy (due_at);

insert into leoflow_core.setting (key, value, description) values
('copy_logs', '0', '1 while logs are to be copied to an object store; set by the scheduler from logs.store_url.');
