-- Backfills as objects, and the transitions that operators' actions make as in Airflow 3.2.2.
create table leoflow_core.backfill (
    backfill_key bigint generated always as identity primary key,
    dag_key int not null references leoflow_core.dag on delete cascade,
    from_date timestamptz not null,
    to_date timestamptz not null,
    dag_run_conf jsonb,
    is_paused boolean not null default false,
    reprocess_behavior text not null check (reprocess_behavior in ('none', 'failed', 'completed')),
    run_backwards boolean not null,
    run_on_latest_version boolean not null,
    max_active_runs int not null check (max_active_runs >= 1),
    triggering_user_name text,
    created_at timestamptz not null default clock_timestamp(),
    completed_at timestamptz,
    updated_at timestamptz not null default clock_timestamp()
);
comment on table leoflow_core.backfill is 'Backfills: the runs of a DAG''s schedule in a range of dates, made at once.';
comment on column leoflow_core.backfill.is_paused is 'No further run of it starts; running ones go on.';
create unique index backfill_active on leoflow_core.backfill (dag_key) where completed_at is null;
comment on index leoflow_core.backfill_active is 'A DAG has at most one unfinished backfill, as in Airflow.';
create index backfill_by_dag on leoflow_core.backfill (dag_key, backfill_key);

create table leoflow_core.backfill_run (
    backfill_key bigint not null references leoflow_core.backfill on delete cascade,
    sort_ordinal int not null check (sort_ordinal >= 1),
    logical_date timestamptz not null,
    run_key bigint,
    exception_reason text check (exception_reason in ('in flight', 'already exists', 'unknown')),
    primary key (backfill_key, sort_ordinal)
);
comment on table leoflow_core.backfill_run is
'One row per date of a backfill, in the order its runs start: the run, or why there is none.';

alter table leoflow_core.dag_run add column backfill_ordinal int;
comment on column leoflow_core.dag_run.backfill_ordinal is 'The place of a backfill''s run among those that wait to start.';
-- squawk-ignore require-concurrent-index-creation
create index dag_run_backfill on leoflow_core.dag_run (backfill_key, state, backfill_ordinal)
where backfill_key is not null and state in ('queued', 'running');
-- squawk-ignore require-concurrent-index-creation
create index dag_run_own_active on leoflow_core.dag_run (dag_key, state, run_key)
where backfill_key is null and state in ('queued', 'running');

comment on table leoflow_core.task is
'Tasks of a version, with what the engine needs in columns. task_idx is the same in every version of a DAG that has the task.';

insert into leoflow_core.setting (key, value, description) values
('max_backfill_runs', '10000', 'Largest number of dates in one backfill.'),
('max_backfill_instances', '2000000', 'Largest number of task instances one backfill may make.');

insert into leoflow_core.task_instance_transition (from_state, to_state, by) values
('failed', 'success', 'set_run_state'),
('queued', 'skipped', 'set_run_state'),
('removed', 'success', 'set_run_state'),
('restarting', 'skipped', 'set_run_state'),
('skipped', 'success', 'set_run_state'),
('up_for_retry', 'skipped', 'set_run_state'),
('upstream_failed', 'success', 'set_run_state'),
('deferred', 'removed', 'clear_tasks'),
('failed', 'removed', 'clear_tasks'),
('queued', 'removed', 'clear_tasks'),
('restarting', 'removed', 'clear_tasks'),
('running', 'removed', 'clear_tasks'),
('scheduled', 'removed', 'clear_tasks'),
('skipped', 'removed', 'clear_tasks'),
('success', 'removed', 'clear_tasks'),
('up_for_reschedule', 'removed', 'clear_tasks'),
('up_for_retry', 'removed', 'clear_tasks'),
('upstream_failed', 'removed', 'clear_tasks');
delete from leoflow_core.task_instance_transition as t
where t.by = 'set_run_state' and t.to_state = 'failed' and t.from_state in ('queued', 'restarting', 'up_for_retry');
