-- Drops what the migration added.
drop table leoflow_core.deadline;
alter table leoflow_core.dag_version drop column has_callbacks;
alter table leoflow_core.dag drop column allowed_run_types, drop column schedule_error, drop column plan_after, drop column next_run_id;
