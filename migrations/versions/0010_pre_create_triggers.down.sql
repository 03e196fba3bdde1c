delete from leoflow_core.task_instance_transition
where from_state = 'deferred' and (by = 'fire_triggers' or (to_state = 'scheduled' and by = 'promote_due'));
drop table if exists leoflow_core.hitl_detail cascade;
drop table if exists leoflow_core.trigger cascade;
alter table leoflow_core.process drop column if exists lease_until;
