-- What a run by hand is about, where only the project's own code can say: asked by whoever makes the run, answered by a
-- scheduler.
create table leoflow_core.timetable_question (
    question_key bigint generated always as identity primary key,
    version_key bigint not null references leoflow_core.dag_version on delete cascade,
    arguments jsonb not null,
    asked_at timestamptz not null default clock_timestamp(),
    taken_until timestamptz,
    answered_at timestamptz,
    answer jsonb,
    error text
);
comment on table leoflow_core.timetable_question is
'Questions to custom timetables, from processes that have no code of projects. Who asked removes the row.';
comment on column leoflow_core.timetable_question.taken_until is
'A scheduler asks the project''s code until then; if it dies, nobody answers and who asked gives up.';
create index timetable_question_open on leoflow_core.timetable_question (question_key) where taken_until is null;
create index timetable_question_by_version on leoflow_core.timetable_question (version_key);
