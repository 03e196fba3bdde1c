-- Questions to custom timetables: asked by whoever needs the answer now, answered by a scheduler.

-- name: schedule
-- The schedule of a DAG, whether only the project's code knows it, and the database's time.
select d.schedule, leoflow_core.is_custom(d.schedule) as is_custom, d.current_version_key as version_key, clock_timestamp() as now
from leoflow_core.dag as d
where d.dag_id = %s and not d.is_stale and d.current_version_key is not null;

-- name: ask
with asked as (
    insert into leoflow_core.timetable_question (version_key, arguments) values (%s, %s) returning question_key
)
select asked.question_key, pg_notify('leoflow_timetables', '') from asked;

-- name: answer_of
-- The answer, and whether none will come: nobody takes the question, or who took it has gone.
select
    q.answer, q.error, q.answered_at is not null as is_answered,
    clock_timestamp() > coalesce(q.taken_until, q.asked_at + make_interval(secs => %s)) as is_lost
from leoflow_core.timetable_question as q
where q.question_key = %s;

-- name: forget
delete from leoflow_core.timetable_question where question_key = %s;

-- name: take
-- Take questions nobody has taken; drop those that nobody waits for any more.
with dropped as (
    delete from leoflow_core.timetable_question where asked_at < clock_timestamp() - interval '1 hour'
),
taken as (
    update leoflow_core.timetable_question as q
    set taken_until = clock_timestamp() + make_interval(secs => %(seconds)s)
    where
        q.question_key in (
            select o.question_key from leoflow_core.timetable_question as o
            where o.taken_until is null
            order by o.question_key
            limit %(limit)s
            for update skip locked
        )
    returning q.question_key, q.version_key, q.arguments
)
select q.question_key, d.dag_id, v.environment_key, v.bundle_path, v.relative_fileloc, q.arguments
from taken as q
inner join leoflow_core.dag_version as v on v.version_key = q.version_key
inner join leoflow_core.dag as d on d.dag_key = v.dag_key;

-- name: answer
update leoflow_core.timetable_question
set answer = %(answer)s, error = %(error)s, answered_at = clock_timestamp()
where question_key = %(question_key)s;
