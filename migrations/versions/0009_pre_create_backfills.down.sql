delete from leoflow_core.task_instance_transition as t
where (t.by = 'set_run_state' and (t.from_state, t.to_state) in (
    ('failed', 'success'), ('queued', 'skipped'), ('removed', 'success'), ('restarting', 'skipped'),
    ('skipped', 'success'), ('up_for_retry', 'skipped'), ('upstream_failed', 'success')
)) or (t.by = 'clear_tasks' and t.to_state = 'removed' and t.from_state <> 'none');
insert into leoflow_core.task_instance_transition (from_state, to_state, by) values
('queued', 'failed', 'set_run_state'),
('restarting', 'failed', 'set_run_state'),
('up_for_retry', 'failed', 'set_run_state');
delete from leoflow_core.setting as s where s.key in ('max_backfill_runs', 'max_backfill_instances');
drop index leoflow_core.dag_run_own_active;
drop index leoflow_core.dag_run_backfill;
alter table leoflow_core.dag_run drop column backfill_ordinal;
drop table leoflow_core.backfill_run;
drop table leoflow_core.backfill;
