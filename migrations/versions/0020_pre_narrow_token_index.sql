-- The condition holds for all tokens. It keeps the planner from looking single ones up here, by run alone, which it
-- did when the table looked empty and every index cost the same.
-- squawk-ignore require-concurrent-index-deletion
drop index leoflow_core.gate_token_by_pool;
-- squawk-ignore require-concurrent-index-creation
create index gate_token_by_pool on leoflow_core.gate_token (pool_key, run_key) include (pool_slots)
where pool_slots > 0;
