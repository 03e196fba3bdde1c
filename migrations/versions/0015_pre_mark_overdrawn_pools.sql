alter table leoflow_core.pool add column is_overdrawn boolean not null default false;
comment on column leoflow_core.pool.is_overdrawn is
'It got fewer slots than are in use: until they are enough again no attempt hands its slots to a successor.';
-- squawk-ignore require-concurrent-index-creation
create index task_limited_map on leoflow_core.task (version_key)
where map_inputs is not null and (max_active_tis_per_dag is not null or max_active_tis_per_dagrun is not null);
