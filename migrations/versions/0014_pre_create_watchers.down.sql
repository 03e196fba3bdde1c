delete from leoflow_core.asset_watcher as w using leoflow_core.asset_watcher as o
where o.asset_key = w.asset_key and o.name = w.name and o.watcher_key < w.watcher_key;
alter table leoflow_core.asset_watcher drop column dag_key;
alter table leoflow_core.asset_watcher drop column trigger_key;
alter table leoflow_core.asset_watcher add unique (asset_key, name);
drop index if exists leoflow_core.asset_watcher_by_asset;
drop table leoflow_core.watcher_trigger;
