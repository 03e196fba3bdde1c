-- Callbacks, deadlines, and timetables that only the project's own code can evaluate.

alter table leoflow_core.dag_version add column has_callbacks boolean not null default false;
comment on column leoflow_core.dag_version.has_callbacks is
'The DAG itself has callbacks or deadlines, so that the beginning and the end of its runs have consequences.';
update leoflow_core.dag_version
set
    has_callbacks = coalesce((spec ->> 'has_on_success_callback')::boolean, false)
    or coalesce((spec ->> 'has_on_failure_callback')::boolean, false)
    or jsonb_array_length(coalesce(nullif(spec -> 'deadlines', 'null'), '[]')) > 0;

alter table leoflow_core.dag add column allowed_run_types text[];
comment on column leoflow_core.dag.allowed_run_types is 'Run types the DAG allows; null: all.';
update leoflow_core.dag as d set allowed_run_types = array(select jsonb_array_elements_text(v.spec -> 'allowed_run_types'))
from leoflow_core.dag_version as v
where v.version_key = d.current_version_key and jsonb_typeof(v.spec -> 'allowed_run_types') = 'array';
alter table leoflow_core.dag add column schedule_error text;
comment on column leoflow_core.dag.schedule_error is
'Why the timetable could not say when the next run is; nothing is scheduled meanwhile.';
alter table leoflow_core.dag add column plan_after timestamptz;
comment on column leoflow_core.dag.plan_after is
'While schedule_pending: a scheduler is evaluating the custom timetable until then, or it is tried again then.';
alter table leoflow_core.dag add column next_run_id text;
comment on column leoflow_core.dag.next_run_id is
'Run id of the next scheduled run where a custom timetable gives it; null: the usual one.';

create table leoflow_core.deadline (
    deadline_key bigint generated always as identity primary key,
    deadline_id uuid not null unique default gen_random_uuid(),
    run_key bigint not null,
    alert_idx int not null check (alert_idx >= 0),
    reference text not null,
    deadline_time timestamptz not null,
    missed boolean not null default false,
    created_at timestamptz not null default clock_timestamp(),
    unique (run_key, alert_idx)
);
comment on table leoflow_core.deadline is
'Deadlines of runs, one per deadline alert of the DAG (alert_idx: its position there, from 0).';
create index deadline_due on leoflow_core.deadline (deadline_time) where not missed;
