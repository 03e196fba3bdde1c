-- What deferred task instances wait for, and what tasks ask people.

create table leoflow_core.trigger (
    trigger_key bigint generated always as identity primary key,
    run_key bigint not null,
    task_idx int not null,
    map_index int not null,
    attempt_id uuid not null,
    classpath text not null check (classpath <> '' and length(classpath) <= 1000),
    kwargs jsonb not null,
    next_method text not null,
    next_kwargs jsonb not null,
    timeout_seconds float8,
    queue text,
    is_armed boolean not null default false,
    triggerer_key int,
    created_at timestamptz not null default clock_timestamp(),
    unique (run_key, task_idx, map_index)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
comment on table leoflow_core.trigger is
'One row per deferred task instance: what it waits for and how it goes on. Good only while its instance is deferred '
'by that attempt; a row whose instance was cleared or marked is dropped by whoever meets it.';
comment on column leoflow_core.trigger.kwargs is 'Arguments of the trigger, as the Task SDK encoded them.';
comment on column leoflow_core.trigger.next_kwargs is
'Arguments of next_method, as the Task SDK encoded them; the event is added when it comes.';
comment on column leoflow_core.trigger.is_armed is
'Written ahead by the deferring attempt as false; true from the transaction that makes the instance deferred.';
comment on column leoflow_core.trigger.triggerer_key is 'The triggerer that runs it (process.process_key), while its lease lasts.';
create index trigger_free on leoflow_core.trigger (trigger_key) where is_armed and triggerer_key is null;
create index trigger_by_triggerer on leoflow_core.trigger (triggerer_key) where triggerer_key is not null;

alter table leoflow_core.process add column lease_until timestamptz;
comment on column leoflow_core.process.lease_until is 'Triggerers: when others may take over its triggers.';

create table leoflow_core.hitl_detail (
    run_key bigint not null,
    task_idx int not null,
    map_index int not null,
    try_number int not null,
    options text[] not null check (cardinality(options) > 0),
    subject text not null,
    body text,
    defaults text[],
    multiple boolean not null default false,
    params jsonb not null default '{}',
    assigned_users jsonb not null default '[]',
    created_at timestamptz not null default clock_timestamp(),
    responded_at timestamptz,
    responded_by_id text,
    responded_by_name text,
    chosen_options text[],
    params_input jsonb not null default '{}',
    primary key (run_key, task_idx, map_index, try_number)
);
comment on table leoflow_core.hitl_detail is
'What a try of a task instance asks a person, and the answer. Answered by a default: responded_by_id is null.';
comment on column leoflow_core.hitl_detail.assigned_users is 'Who may answer, as [{"id", "name"}]; empty: everybody who may edit.';
create index hitl_detail_open on leoflow_core.hitl_detail (run_key) where responded_at is null;

insert into leoflow_core.task_instance_transition (from_state, to_state, by) values
('deferred', 'scheduled', 'fire_triggers'),
('deferred', 'scheduled', 'promote_due'),
('deferred', 'success', 'fire_triggers'),
('deferred', 'failed', 'fire_triggers'),
('deferred', 'skipped', 'fire_triggers');
