drop index leoflow_core.task_mapped;
drop table leoflow_core.join_slot;
update leoflow_core.dag_version as v
set
    has_slotted = exists (
        select from leoflow_core.task as t where t.version_key = v.version_key and t.is_slotted
    );
alter table leoflow_core.dag_version drop column instance_count;
alter table leoflow_core.dag_version drop column counted_count;
alter table leoflow_core.dag_version drop column end_slots;
alter table leoflow_core.dag_version drop column expands;
alter table leoflow_core.dag_version drop column expands_at_start;
