-- What triggerers run for the watchers of assets, and which DAG declared a watcher. The table of watchers has a handful of
-- rows, so that locks and scans of it are over at once.
-- squawk-ignore-file adding-foreign-key-constraint, adding-not-nullable-field, ban-drop-constraint
-- squawk-ignore-file constraint-missing-not-valid, disallowed-unique-constraint, require-concurrent-index-creation

create table leoflow_core.watcher_trigger (
    trigger_key bigint primary key default nextval('leoflow_core.trigger_trigger_key_seq'),
    classpath text not null check (classpath <> '' and length(classpath) <= 1000),
    kwargs jsonb not null,
    version_key bigint,
    claimed_version_key bigint,
    triggerer_key int,
    event_count bigint not null default 0,
    last_event_at timestamptz,
    recent_events uuid[] not null default '{}',
    failed_at timestamptz,
    failure text,
    created_at timestamptz not null default clock_timestamp()
) with (fillfactor = 70);
comment on table leoflow_core.watcher_trigger is
'The triggers of asset watchers, equal ones once: run by one triggerer as long as an unpaused DAG is scheduled by one of '
'their assets.';
comment on column leoflow_core.watcher_trigger.trigger_key is 'One number space with leoflow_core.trigger.';
comment on column leoflow_core.watcher_trigger.kwargs is 'Arguments of the trigger, as the Task SDK encodes them.';
comment on column leoflow_core.watcher_trigger.version_key is
'Version of a DAG that declares it: its environment, modules and secrets are the trigger''s. Null: it is not to run.';
comment on column leoflow_core.watcher_trigger.claimed_version_key is 'The version with which its triggerer runs it.';
comment on column leoflow_core.watcher_trigger.triggerer_key is 'The triggerer that runs it, while its lease lasts.';
comment on column leoflow_core.watcher_trigger.recent_events is
'Ids of its latest events, so that one whose recording was answered into the void is not recorded twice.';
comment on column leoflow_core.watcher_trigger.failure is 'Why it ended last without an event; null once it made one.';
create unique index watcher_trigger_equal on leoflow_core.watcher_trigger (classpath, md5(kwargs::text));

alter table leoflow_core.asset_watcher add column dag_key int references leoflow_core.dag on delete cascade;
alter table leoflow_core.asset_watcher add column trigger_key bigint references leoflow_core.watcher_trigger on delete set null;
update leoflow_core.asset_watcher as w set dag_key = (
    select min(s.dag_key) from leoflow_core.schedule_asset as s where s.asset_key = w.asset_key
);
delete from leoflow_core.asset_watcher as w where w.dag_key is null;
alter table leoflow_core.asset_watcher alter column dag_key set not null;
alter table leoflow_core.asset_watcher drop constraint asset_watcher_asset_key_name_key;
alter table leoflow_core.asset_watcher add unique (dag_key, asset_key, name);
create index asset_watcher_by_asset on leoflow_core.asset_watcher (asset_key);
create index asset_watcher_by_trigger on leoflow_core.asset_watcher (trigger_key);
comment on table leoflow_core.asset_watcher is 'Which triggers make events of an asset, as the current versions of DAGs say.';
comment on column leoflow_core.asset_watcher.trigger_key is 'What runs for it; null while no unpaused DAG is scheduled by the asset.';
