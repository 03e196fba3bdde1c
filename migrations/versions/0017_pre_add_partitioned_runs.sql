-- Runs of partitions: of CronPartitionTimetable, and those that wait for events of one partition of several assets.
alter table leoflow_core.dag_run add column partition_date timestamptz;
comment on column leoflow_core.dag_run.partition_date is 'The moment that partition_key names, of runs of a CronPartitionTimetable.';
-- squawk-ignore require-concurrent-index-creation
create index dag_run_partition on leoflow_core.dag_run (dag_key, partition_key, run_key) where partition_key is not null;

alter table leoflow_core.dag add column next_partition_key text;
alter table leoflow_core.dag add column next_partition_date timestamptz;
comment on column leoflow_core.dag.next_partition_key is 'The partition of the next run, which has no logical date then.';
-- squawk-ignore require-concurrent-index-creation
create index dag_partitioned on leoflow_core.dag (dag_key) where schedule ->> 'type' = 'partitioned_assets';

create table leoflow_core.partition_queue (
    queue_key bigint generated always as identity primary key,
    dag_key int not null references leoflow_core.dag on delete cascade,
    asset_key int not null,
    event_key bigint not null,
    event_at timestamptz not null,
    partition_key text not null,
    taken_until timestamptz,
    unique (dag_key, event_key)
);
comment on table leoflow_core.partition_queue is
'Events with a partition key that DAGs with a partitioned asset schedule listen to, until a scheduler has mapped the key.';
comment on column leoflow_core.partition_queue.taken_until is 'A scheduler maps the key until then; then another one may.';

create table leoflow_core.asset_partition_run (
    partition_run_key bigint generated always as identity primary key,
    dag_key int not null references leoflow_core.dag on delete cascade,
    partition_key text not null,
    run_key bigint,
    is_checked boolean not null default false,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
);
comment on table leoflow_core.asset_partition_run is
'Runs of partitions that events have asked for: pending while run_key is null (Airflow, asset_partition_dag_run).';
comment on column leoflow_core.asset_partition_run.is_checked is 'The schedule was evaluated with its events and was not satisfied.';
create unique index asset_partition_run_pending on leoflow_core.asset_partition_run (dag_key, partition_key)
where run_key is null;
create index asset_partition_run_unchecked on leoflow_core.asset_partition_run (partition_run_key)
where run_key is null and not is_checked;
create index asset_partition_run_by_run on leoflow_core.asset_partition_run (run_key) where run_key is not null;
create index asset_partition_run_by_dag on leoflow_core.asset_partition_run (dag_key, created_at);

create table leoflow_core.asset_partition_event (
    partition_run_key bigint not null references leoflow_core.asset_partition_run on delete cascade,
    asset_key int not null,
    event_key bigint not null,
    event_at timestamptz not null,
    source_partition_key text not null,
    primary key (partition_run_key, event_key)
);
comment on table leoflow_core.asset_partition_event is
'The events of each run of a partition, with the key they came with (Airflow, partitioned_asset_key_log).';

-- squawk-ignore ban-drop-not-null
alter table leoflow_core.backfill_run alter column logical_date drop not null;
alter table leoflow_core.backfill_run add column partition_key text;
comment on column leoflow_core.backfill_run.partition_key is 'The partition, of a schedule whose runs have no logical date.';
