alter table leoflow_core.dag drop column spawn_reason;
