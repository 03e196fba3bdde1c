drop index leoflow_core.gate_token_by_pool;
create index gate_token_by_pool on leoflow_core.gate_token (pool_key, run_key) include (pool_slots);
