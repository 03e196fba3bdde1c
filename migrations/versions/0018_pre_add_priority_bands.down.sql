alter table leoflow_core.task reset (fillfactor);
alter table leoflow_core.task_instance set (fillfactor = 40);
drop index leoflow_core.gate_token_by_pool;
create index gate_token_by_pool on leoflow_core.gate_token (pool_key) include (pool_slots);
drop table leoflow_core.priority_band;
