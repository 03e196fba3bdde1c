-- Assets: what DAGs say about them, what happened to them, and which DAGs wait for what happened.

create table leoflow_core.asset (
    asset_key int generated always as identity primary key,
    name text not null check (name <> '' and length(name) <= 1300),
    uri text not null check (uri <> '' and length(uri) <= 1300),
    asset_group text not null default 'asset',
    extra jsonb not null default '{}',
    is_active boolean not null default false,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    unique (name, uri)
);
comment on table leoflow_core.asset is
'Assets by name and uri. Rows stay when nothing mentions them any more, since their events do.';
comment on column leoflow_core.asset.is_active is
'Mentioned by a DAG''s schedule, inlets or outlets, and the only such asset with this name and with this uri.';
create unique index asset_active_name on leoflow_core.asset (name) where is_active;
create unique index asset_active_uri on leoflow_core.asset (uri) where is_active;
create index asset_by_uri on leoflow_core.asset (uri);

create table leoflow_core.asset_alias (
    alias_key int generated always as identity primary key,
    name text not null unique check (name <> '' and length(name) <= 1300),
    asset_group text not null default 'asset'
);
comment on table leoflow_core.asset_alias is 'Names that tasks resolve to assets when they run.';

create table leoflow_core.asset_alias_asset (
    alias_key int not null references leoflow_core.asset_alias on delete cascade,
    asset_key int not null references leoflow_core.asset on delete cascade,
    primary key (alias_key, asset_key)
);
comment on table leoflow_core.asset_alias_asset is 'Which assets an alias was ever resolved to.';
create index asset_alias_asset_by_asset on leoflow_core.asset_alias_asset (asset_key);

create table leoflow_core.asset_watcher (
    watcher_key int generated always as identity primary key,
    asset_key int not null references leoflow_core.asset on delete cascade,
    name text not null,
    classpath text not null,
    kwargs jsonb not null default '{}',
    created_at timestamptz not null default clock_timestamp(),
    unique (asset_key, name)
);
comment on table leoflow_core.asset_watcher is
'Triggers that make events of an asset: what a triggerer is to run while the asset is active.';

create table leoflow_core.schedule_asset (
    dag_key int not null references leoflow_core.dag on delete cascade,
    asset_key int not null references leoflow_core.asset,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (dag_key, asset_key)
);
comment on table leoflow_core.schedule_asset is 'Assets in the schedule of a DAG''s current version.';
create index schedule_asset_by_asset on leoflow_core.schedule_asset (asset_key);

create table leoflow_core.schedule_asset_alias (
    dag_key int not null references leoflow_core.dag on delete cascade,
    alias_key int not null references leoflow_core.asset_alias,
    created_at timestamptz not null default clock_timestamp(),
    primary key (dag_key, alias_key)
);
comment on table leoflow_core.schedule_asset_alias is 'Aliases in the schedule of a DAG''s current version.';
create index schedule_asset_alias_by_alias on leoflow_core.schedule_asset_alias (alias_key);

create table leoflow_core.schedule_asset_ref (
    dag_key int not null references leoflow_core.dag on delete cascade,
    kind text not null check (kind in ('name', 'uri')),
    value text not null check (length(value) <= 1300),
    created_at timestamptz not null default clock_timestamp(),
    primary key (dag_key, kind, value)
);
comment on table leoflow_core.schedule_asset_ref is
'References by name or uri alone in the schedule of a DAG''s current version.';
create index schedule_asset_ref_by_value on leoflow_core.schedule_asset_ref (value, kind);

create table leoflow_core.task_asset (
    dag_key int not null references leoflow_core.dag on delete cascade,
    task_id text not null,
    asset_key int not null references leoflow_core.asset,
    direction text not null check (direction in ('inlet', 'outlet')),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (dag_key, task_id, asset_key, direction)
);
comment on table leoflow_core.task_asset is 'Inlets and outlets of the tasks of a DAG''s current version.';
create index task_asset_by_asset on leoflow_core.task_asset (asset_key, direction);

create sequence leoflow_core.asset_event_seq as bigint;

create table leoflow_core.asset_event (
    event_key bigint not null default nextval('leoflow_core.asset_event_seq'),
    asset_key int not null,
    source_map_index int not null default -1,
    created_at timestamptz not null default clock_timestamp(),
    extra jsonb not null default '{}',
    source_dag_id text,
    source_task_id text,
    source_run_id text,
    partition_key text,
    primary key (created_at, event_key)
) partition by range (created_at);
comment on table leoflow_core.asset_event is 'Changes of assets. Partitioned by time.';
create table leoflow_core.asset_event_default partition of leoflow_core.asset_event default;
create index asset_event_by_key on leoflow_core.asset_event (event_key);
create index asset_event_by_asset on leoflow_core.asset_event (asset_key, created_at);
create index asset_event_by_source on leoflow_core.asset_event (source_dag_id, created_at);

create table leoflow_core.asset_event_alias (
    created_at timestamptz not null,
    event_key bigint not null,
    alias_key int not null,
    primary key (alias_key, created_at, event_key)
) partition by range (created_at);
comment on table leoflow_core.asset_event_alias is
'The aliases an event came through. created_at is the event''s. Partitioned by time.';
create table leoflow_core.asset_event_alias_default partition of leoflow_core.asset_event_alias default;
create index asset_event_alias_by_event on leoflow_core.asset_event_alias (event_key);

create table leoflow_core.dag_run_asset_event (
    run_key bigint not null,
    event_key bigint not null,
    event_at timestamptz not null,
    primary key (run_key, event_key)
) partition by range (run_key);
comment on table leoflow_core.dag_run_asset_event is
'The events that made a run. event_at is the event''s created_at. Partitioned by run_key, so by time.';
create table leoflow_core.dag_run_asset_event_default partition of leoflow_core.dag_run_asset_event default;
create index dag_run_asset_event_by_event on leoflow_core.dag_run_asset_event (event_key);

create table leoflow_core.asset_queue (
    dag_key int not null references leoflow_core.dag on delete cascade,
    asset_key int not null,
    event_key bigint not null,
    event_at timestamptz not null,
    counts boolean not null,
    is_checked boolean not null default false,
    primary key (dag_key, event_key)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table leoflow_core.asset_queue is
'Events that have not yet made a run of a DAG whose schedule mentions their asset; the run takes them all away.';
comment on column leoflow_core.asset_queue.counts is
'Whether the event helps to satisfy the schedule: not if the DAG was paused or did not ask for the asset yet.';
comment on column leoflow_core.asset_queue.is_checked is 'The schedule was evaluated with this event and was not satisfied.';
create index asset_queue_unchecked on leoflow_core.asset_queue (dag_key) where counts and not is_checked;
