-- Drops assets with their views and functions, which the older program applies without them.
drop table if exists
leoflow_core.asset_queue, leoflow_core.dag_run_asset_event, leoflow_core.asset_event_alias, leoflow_core.asset_event,
leoflow_core.asset_watcher, leoflow_core.asset_alias_asset, leoflow_core.task_asset, leoflow_core.schedule_asset_ref,
leoflow_core.schedule_asset_alias, leoflow_core.schedule_asset, leoflow_core.asset_alias, leoflow_core.asset cascade;
drop sequence if exists leoflow_core.asset_event_seq;
