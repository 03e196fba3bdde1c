-- The state machine's tables and types. Private schema leoflow_core, public schema leoflow.
create schema if not exists leoflow;
create schema if not exists leoflow_core;
comment on schema leoflow is 'Public and stable: views to read, functions to act.';
comment on schema leoflow_core is 'Private: tables and internal functions of the state machine.';

-- ---------------------------------------------------------------------------------------------------------- types

create type leoflow.task_instance_state as enum (
    'removed', 'scheduled', 'queued', 'running', 'success', 'restarting', 'failed', 'up_for_retry',
    'up_for_reschedule', 'upstream_failed', 'skipped', 'deferred'
);
comment on type leoflow.task_instance_state is
'Airflow''s task instance states; null means no status yet (upstreams unfinished). '
'removed: no longer part of its run. scheduled: may be claimed, or waits for a limit. queued: claimed, not started. '
'running: user code runs. success, failed, skipped, upstream_failed: final. restarting: cleared while running. '
'up_for_retry, up_for_reschedule: waits for due_at. deferred: waits for a trigger.';

create type leoflow.dag_run_state as enum ('queued', 'running', 'success', 'failed');
comment on type leoflow.dag_run_state is
'queued: waits for max_active_runs or for its DAG to be unpaused. running: instances progress. success, failed: final.';

create type leoflow.trigger_rule as enum (
    'all_success', 'all_failed', 'all_done', 'all_done_min_one_success', 'all_done_setup_success', 'all_skipped',
    'one_failed', 'one_success', 'one_done', 'none_failed', 'none_failed_min_one_success', 'none_skipped', 'always'
);
comment on type leoflow.trigger_rule is 'When a task instance may run, by the states of its direct upstreams (Airflow 3.2).';

create type leoflow.dag_run_type as enum ('backfill', 'scheduled', 'manual', 'asset_triggered', 'asset_materialization');
comment on type leoflow.dag_run_type is 'What created the run.';

create type leoflow_core.settled as (
    run_key bigint,
    version_key bigint,
    task_idx int,
    map_index int,
    state leoflow.task_instance_state,
    queue_key int,
    pool_key int,
    pool_slots int,
    is_leaf boolean,
    is_counted boolean,
    feeds_slots boolean,
    has_downstream boolean,
    has_token boolean
);
comment on type leoflow_core.settled is 'A task instance that just reached a final state: what propagation needs to know.';

create type leoflow_core.claimed_attempt as (
    attempt_id uuid,
    run_key bigint,
    task_idx int,
    map_index int,
    version_key bigint,
    dag_id text,
    run_id text,
    task_id text,
    try_number int,
    max_tries int,
    should_retry boolean,
    queue text,
    pool text,
    pool_slots int,
    priority int,
    kind text,
    execution_timeout_seconds float8,
    dag_version_id uuid,
    version_number int,
    bundle_path text,
    environment_key text,
    relative_fileloc text,
    image text,
    state leoflow.task_instance_state,
    queued_at timestamptz,
    start_date timestamptz,
    first_start_date timestamptz,
    reschedule_count int,
    next_method text,
    next_kwargs jsonb,
    logical_date timestamptz,
    data_interval_start timestamptz,
    data_interval_end timestamptz,
    run_after timestamptz,
    run_start_date timestamptz,
    run_end_date timestamptz,
    run_state leoflow.dag_run_state,
    run_type leoflow.dag_run_type,
    clear_number int,
    conf jsonb,
    triggering_user_name text,
    partition_key text,
    run_note text,
    has_reduce boolean
);
comment on type leoflow_core.claimed_attempt is 'Everything a worker needs to start an attempt: see leoflow_core.claim.';

create type leoflow_core.instance_ref as (run_key bigint, task_idx int, map_index int);
comment on type leoflow_core.instance_ref is 'The key of a task instance.';

-- ------------------------------------------------------------------------------------------------------ definitions

create table leoflow_core.queue (
    queue_key int generated always as identity primary key,
    name text not null unique
);
comment on table leoflow_core.queue is 'Names of queues; created on first mention.';
insert into leoflow_core.queue (name) values ('default');

create table leoflow_core.pool (
    pool_key int generated always as identity primary key,
    name text not null unique check (name <> '' and length(name) <= 256),
    slots int not null check (slots >= -1),
    description text,
    include_deferred boolean not null default false,
    is_implied boolean not null default false
);
comment on column leoflow_core.pool.is_implied is 'Named by a DAG but never created by anyone: has no slots and is not listed.';
comment on table leoflow_core.pool is 'Concurrency limits across DAGs. slots -1 means unlimited.';
insert into leoflow_core.pool (name, slots, description) values ('default_pool', 128, 'Default pool');

create table leoflow_core.dag (
    dag_key int generated always as identity primary key,
    dag_id text not null unique check (dag_id <> '' and length(dag_id) <= 250),
    display_name text,
    description text,
    doc_md text,
    fileloc text,
    relative_fileloc text,
    project_path text,
    bundle_name text not null default 'dags',
    owners text[] not null default '{}',
    owner_links jsonb not null default '{}',
    tags text[] not null default '{}',
    is_paused boolean not null default true,
    is_stale boolean not null default false,
    has_import_errors boolean not null default false,
    current_version_key bigint,
    schedule jsonb,
    timetable_summary text,
    timetable_description text,
    timezone text not null default 'UTC',
    start_date timestamptz,
    end_date timestamptz,
    catchup boolean not null default false,
    schedule_pending boolean not null default true,
    next_logical_date timestamptz,
    next_data_interval_start timestamptz,
    next_data_interval_end timestamptz,
    next_run_after timestamptz,
    max_active_runs int not null default 16 check (max_active_runs >= 0),
    max_active_tasks int not null default 16 check (max_active_tasks >= 1),
    max_consecutive_failed_dag_runs int not null default 0,
    dagrun_timeout_seconds float8,
    fail_fast boolean not null default false,
    last_parsed_at timestamptz,
    last_parse_seconds float8,
    last_expired_at timestamptz,
    created_at timestamptz not null default clock_timestamp()
);
comment on table leoflow_core.dag is 'One row per dag_id ever registered; attributes of its current version.';
create index dag_due on leoflow_core.dag (next_run_after)
where not is_paused and not is_stale and next_run_after is not null;
create index dag_schedule_pending on leoflow_core.dag (dag_key) where schedule_pending;

create table leoflow_core.dag_version (
    version_key bigint generated always as identity primary key,
    dag_key int not null references leoflow_core.dag on delete cascade,
    version_number int not null,
    version_id uuid not null unique,
    dag_version text,
    content_hash text not null,
    spec jsonb not null,
    source_code text,
    bundle_path text,
    environment_key text,
    relative_fileloc text,
    image text,
    task_count int not null,
    max_active_tasks int not null,
    fail_fast boolean not null,
    has_slotted boolean not null,
    created_at timestamptz not null default clock_timestamp(),
    unique (dag_key, version_number)
);
comment on table leoflow_core.dag_version is 'Content-addressed versions of a DAG; a run stays on the version it started with.';
create index dag_version_by_hash on leoflow_core.dag_version (dag_key, content_hash);

create table leoflow_core.task (
    version_key bigint not null,
    task_idx int not null,
    task_id text not null check (task_id <> '' and length(task_id) <= 250),
    position int not null,
    trigger_rule leoflow.trigger_rule not null,
    upstream_count int not null,
    extra_count int not null default 0,
    is_leaf boolean not null,
    is_counted boolean not null,
    feeds_slots boolean not null,
    is_slotted boolean not null,
    has_downstream boolean not null,
    is_setup boolean not null,
    is_teardown boolean not null,
    is_mapped boolean not null,
    has_reduce boolean not null,
    retries int not null check (retries >= 0),
    retry_delay_seconds float8 not null,
    retry_exponential_backoff float8 not null,
    max_retry_delay_seconds float8,
    execution_timeout_seconds float8,
    queue_key int not null,
    pool_key int not null,
    pool_slots int not null check (pool_slots >= 1),
    priority int not null,
    depends_on_past boolean not null default false,
    wait_for_downstream boolean not null default false,
    max_active_tis_per_dag int,
    max_active_tis_per_dagrun int,
    group_id text,
    kind text not null,
    operator text not null,
    operator_name text,
    display_name text,
    owner text,
    map_index_template text,
    spec jsonb not null,
    primary key (version_key, task_idx),
    unique (version_key, task_id)
);
comment on table leoflow_core.task is 'Tasks of a version, with what the engine needs in columns. task_idx counts from 0 by task_id.';

create table leoflow_core.task_edge (
    version_key bigint not null,
    upstream_idx int not null,
    downstream_idx int not null,
    kind "char" not null default 'd',
    is_slotted boolean not null default false,
    label text,
    primary key (version_key, upstream_idx, downstream_idx, kind)
);
comment on table leoflow_core.task_edge is
'Dependencies of a version. kind d: direct. s: a setup whose success the task needs though it is not a direct '
'upstream. t: a task inside a teardown''s scope, which must be done before the teardown.';
create index task_edge_by_downstream on leoflow_core.task_edge (version_key, downstream_idx);

create table leoflow_core.reduce_input (
    version_key bigint not null,
    task_idx int not null,
    param text not null,
    slot int not null,
    upstream_idx int not null,
    primary key (version_key, task_idx, param, slot)
);
comment on table leoflow_core.reduce_input is 'Which upstream fills which slot of a list parameter, in declaration order.';

create table leoflow_core.task_group (
    version_key bigint not null references leoflow_core.dag_version on delete cascade,
    group_id text not null,
    parent_group_id text,
    label text,
    tooltip text,
    is_mapped boolean not null default false,
    spec jsonb not null,
    primary key (version_key, group_id)
);
comment on table leoflow_core.task_group is 'Task groups of a version.';

-- ------------------------------------------------------------------------------------------------------------- live

create sequence leoflow_core.run_seq as bigint;

create table leoflow_core.dag_run (
    run_key bigint primary key,
    dag_key int not null references leoflow_core.dag,
    version_key bigint not null references leoflow_core.dag_version,
    run_id text not null check (run_id <> '' and length(run_id) <= 250),
    run_type leoflow.dag_run_type not null,
    state leoflow.dag_run_state not null,
    remaining int not null,
    failed_leaves int not null default 0,
    open_slots int not null default 0,
    instance_count int not null,
    is_gated boolean not null default false,
    logical_date timestamptz,
    data_interval_start timestamptz,
    data_interval_end timestamptz,
    run_after timestamptz not null,
    queued_at timestamptz not null,
    start_date timestamptz,
    end_date timestamptz,
    clear_number int not null default 0,
    conf jsonb not null default '{}',
    triggered_by text,
    triggering_user_name text,
    partition_key text,
    backfill_key bigint,
    note text,
    note_user text,
    note_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    unique (dag_key, run_id),
    unique (dag_key, logical_date)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table leoflow_core.dag_run is 'Runs. run_key is time-ordered: milliseconds shifted left by 20, plus a sequence.';
comment on column leoflow_core.dag_run.remaining is
'Counted instances not yet final; of runs with slots (open_slots > 0) see join_counter with task_idx -1.';
create index dag_run_active on leoflow_core.dag_run (dag_key, state, run_key) where state in ('queued', 'running');
create index dag_run_queued on leoflow_core.dag_run (dag_key, run_key) where state = 'queued';
create index dag_run_watermark on leoflow_core.dag_run (run_key) where state in ('queued', 'running');
create index dag_run_by_dag on leoflow_core.dag_run (dag_key, run_key);
create index dag_run_after on leoflow_core.dag_run (run_after desc, run_key desc);
create index dag_run_dag_after on leoflow_core.dag_run (dag_key, run_after desc);

create table leoflow_core.task_instance (
    run_key bigint not null,
    version_key bigint not null,
    attempt_id uuid,
    due_at timestamptz,
    scheduled_at timestamptz,
    queued_at timestamptz,
    start_date timestamptz,
    end_date timestamptz,
    task_idx int not null,
    map_index int not null default -1,
    state leoflow.task_instance_state,
    trigger_rule leoflow.trigger_rule not null,
    priority int not null,
    ready_key int,
    gate_key int,
    queue_key int not null,
    pool_key int not null,
    pool_slots int not null,
    worker_key int,
    try_number int not null default 0,
    max_tries int not null,
    upstreams int not null,
    up_success int not null default 0,
    up_failed int not null default 0,
    up_upstream_failed int not null default 0,
    up_skipped int not null default 0,
    up_removed int not null default 0,
    extra_left int not null default 0,
    infra_retries smallint not null default 0,
    reschedules int not null default 0,
    is_resumed boolean not null default false,
    is_leaf boolean not null,
    is_counted boolean not null,
    feeds_slots boolean not null,
    has_downstream boolean not null,
    is_gated boolean not null,
    pid int,
    hostname text,
    primary key (run_key, task_idx, map_index)
) with (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_scale_factor = 0.1
);
comment on table leoflow_core.task_instance is
'Task instances. ready_key, gate_key and due_at are the only indexed columns that change, so most updates are HOT.';
comment on column leoflow_core.task_instance.ready_key is 'Minus the priority while claimable without a limit, else null.';
comment on column leoflow_core.task_instance.gate_key is
'Minus the priority while it may run as soon as its limits (pool, max_active_tasks, …) leave room, else null.';
comment on column leoflow_core.task_instance.attempt_id is 'The live or last attempt''s id: every write of an attempt names it.';
create index task_instance_ready on leoflow_core.task_instance (queue_key, ready_key, run_key, task_idx, map_index)
where ready_key is not null;
create index task_instance_gate
on leoflow_core.task_instance (queue_key, pool_key, gate_key, run_key, task_idx, map_index) where gate_key is not null;
create index task_instance_due on leoflow_core.task_instance (due_at) where due_at is not null;

create table leoflow_core.task_instance_extra (
    run_key bigint not null,
    task_idx int not null,
    map_index int not null default -1,
    rendered_fields jsonb,
    rendered_map_index text,
    note text,
    note_user text,
    note_at timestamptz,
    next_method text,
    next_kwargs jsonb,
    trigger_key bigint,
    unixname text,
    external_executor_id text,
    primary key (run_key, task_idx, map_index)
);
comment on table leoflow_core.task_instance_extra is 'Rare attributes of task instances, away from the hot rows.';

create table leoflow_core.task_attempt_history (
    run_key bigint not null,
    task_idx int not null,
    map_index int not null,
    try_number int not null,
    attempt_id uuid not null,
    version_key bigint not null,
    state leoflow.task_instance_state,
    max_tries int not null,
    scheduled_at timestamptz,
    queued_at timestamptz,
    start_date timestamptz,
    end_date timestamptz,
    worker_key int,
    pid int,
    hostname text,
    reason text,
    primary key (run_key, task_idx, map_index, try_number, attempt_id)
);
comment on table leoflow_core.task_attempt_history is 'Attempts that were superseded by a later one.';

create table leoflow_core.join_counter (
    run_key bigint not null,
    task_idx int not null,
    map_index int not null,
    slot smallint not null,
    waiting int not null,
    up_success int not null default 0,
    up_failed int not null default 0,
    up_upstream_failed int not null default 0,
    up_skipped int not null default 0,
    up_removed int not null default 0,
    trigger_rule leoflow.trigger_rule not null default 'all_done',
    primary key (run_key, task_idx, map_index, slot)
) with (fillfactor = 50);
comment on table leoflow_core.join_counter is
'Slots of joins with more than 64 upstreams, so that no single row is written by all of them. '
'task_idx -1: the end of the run; up_failed then counts failed leaves.';

create table leoflow_core.gate_token (
    run_key bigint not null,
    task_idx int not null,
    map_index int not null,
    pool_key int not null,
    pool_slots int not null,
    primary key (run_key, task_idx, map_index)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table leoflow_core.gate_token is
'One row per active instance that is subject to a limit; counting rows is how a limit is checked. '
'Inserted only under the admission lock, deleted by whoever ends the attempt.';
create index gate_token_by_pool on leoflow_core.gate_token (pool_key) include (pool_slots);

create table leoflow_core.low_watermark (
    only_row boolean primary key default true check (only_row),
    run_key bigint not null
);
comment on table leoflow_core.low_watermark is 'No unfinished run has a smaller key; keeps claims fast while old snapshots pin dead rows.';
insert into leoflow_core.low_watermark (run_key) values (0);

create table leoflow_core.worker (
    worker_key int generated always as identity primary key,
    worker_id uuid not null unique default gen_random_uuid(),
    hostname text not null,
    pid int,
    kind text not null default 'local',
    slots int not null,
    queues text[],
    started_at timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp(),
    lease_until timestamptz not null,
    retired_at timestamptz,
    reaped_at timestamptz,
    is_idle boolean not null default false
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 10);
create index worker_unreaped on leoflow_core.worker (lease_until) where reaped_at is null;
comment on table leoflow_core.worker is 'Workers and their leases. A worker whose lease ended must not write any more.';

create table leoflow_core.process (
    process_key int generated always as identity primary key,
    kind text not null,
    hostname text not null,
    pid int not null,
    started_at timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    detail jsonb not null default '{}',
    unique (kind, hostname, pid)
) with (fillfactor = 50);
comment on table leoflow_core.process is 'Heartbeats of control-plane processes (scheduler, triggerer, …), for health.';

-- ------------------------------------------------------------------------------- written by attempts, by time ranges

create table leoflow_core.xcom (
    run_key bigint not null,
    task_idx int not null,
    map_index int not null default -1,
    key text not null check (key <> '' and length(key) <= 512),
    value bytea,
    mapped_length int,
    created_at timestamptz not null default clock_timestamp(),
    primary key (run_key, task_idx, map_index, key)
) partition by range (run_key);
comment on table leoflow_core.xcom is 'XComs as the encoded JSON they arrive as. Partitioned by run_key, so by time.';
create table leoflow_core.xcom_default partition of leoflow_core.xcom default;

create table leoflow_core.task_log (
    run_key bigint not null,
    task_idx int not null,
    map_index int not null default -1,
    try_number int not null,
    seq bigint generated always as identity,
    attempt_id uuid,
    lines text not null,
    line_count int not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (run_key, task_idx, map_index, try_number, seq)
) partition by range (run_key);
comment on table leoflow_core.task_log is 'Log lines of attempts, as chunks of newline-delimited JSON.';
create table leoflow_core.task_log_default partition of leoflow_core.task_log default;

create table leoflow_core.audit_log (
    audit_key bigint generated always as identity,
    created_at timestamptz not null default clock_timestamp(),
    event text not null,
    owner text,
    dag_id text,
    task_id text,
    run_id text,
    map_index int,
    try_number int,
    logical_date timestamptz,
    extra jsonb,
    primary key (created_at, audit_key)
) partition by range (created_at);
comment on table leoflow_core.audit_log is 'Who did what and when. Partitioned by time.';
create table leoflow_core.audit_log_default partition of leoflow_core.audit_log default;
create index audit_log_by_dag on leoflow_core.audit_log (dag_id, created_at);
create index audit_log_by_key on leoflow_core.audit_log (audit_key);

create table leoflow_core.outbox (
    outbox_key bigint generated always as identity primary key,
    kind text not null,
    run_key bigint,
    task_idx int,
    map_index int,
    try_number int,
    payload jsonb not null default '{}',
    created_at timestamptz not null default clock_timestamp()
);
comment on table leoflow_core.outbox is 'Callbacks and alerts to carry out after the commit that caused them, at least once.';

-- -------------------------------------------------------------------------------------------------- administration

create table leoflow_core.variable (
    key text primary key check (key <> '' and length(key) <= 250),
    value bytea not null,
    description text,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
);
comment on table leoflow_core.variable is 'Airflow variables; values encrypted by the caller.';

create table leoflow_core.connection (
    connection_id text primary key check (connection_id <> '' and length(connection_id) <= 250),
    conn_type text not null,
    description text,
    host text,
    schema text,
    login text,
    port int,
    password bytea,
    extra bytea,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
);
comment on table leoflow_core.connection is 'Airflow connections; password and extra encrypted by the caller.';

create table leoflow_core.import_error (
    import_error_key int generated always as identity primary key,
    filename text not null unique,
    bundle_name text not null default 'dags',
    stack_trace text not null,
    created_at timestamptz not null default clock_timestamp()
);
comment on table leoflow_core.import_error is 'DAG files that cannot be loaded, with the reason.';

create table leoflow_core.app_user (
    user_name text primary key check (user_name <> '' and length(user_name) <= 250),
    password_hash text,
    role text not null default 'viewer' check (lower(role) in ('viewer', 'user', 'op', 'admin')),
    is_active boolean not null default true,
    created_at timestamptz not null default clock_timestamp(),
    last_login_at timestamptz
);
comment on table leoflow_core.app_user is 'Users of the API and the UI.';

create table leoflow_core.revoked_token (
    jti text primary key,
    exp timestamptz not null,
    revoked_at timestamptz not null default clock_timestamp()
);
comment on table leoflow_core.revoked_token is 'Tokens logged out before they expired.';

create table leoflow_core.favorite (
    user_name text not null,
    dag_key int not null references leoflow_core.dag on delete cascade,
    created_at timestamptz not null default clock_timestamp(),
    primary key (user_name, dag_key)
);
comment on table leoflow_core.favorite is 'DAGs a user starred.';

create table leoflow_core.install (
    key text primary key,
    value jsonb not null
);
comment on table leoflow_core.install is 'Facts about this installation.';

create table leoflow_core.setting (
    key text primary key,
    value jsonb not null,
    description text not null
);
comment on table leoflow_core.setting is 'Thresholds of the engine.';
insert into leoflow_core.setting (key, value, description) values
('max_infra_retries', '3', 'How often an instance is placed again after its worker was lost, before it fails.'),
('queued_timeout_seconds', '600', 'After how long a claimed but never started attempt is placed again.'),
('max_tasks', '50000', 'Largest number of tasks in one DAG.'),
('max_spec_bytes', '104857600', 'Largest dag.json.');

create table leoflow_core.task_instance_transition (
    from_state text not null,
    to_state text not null,
    by text not null,
    primary key (from_state, to_state, by)
);
comment on table leoflow_core.task_instance_transition is
'Legal transitions of a task instance and the functions that make them. none stands for null, no status yet.';
