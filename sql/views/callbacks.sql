-- Callbacks that Leoflow calls itself: those of DAGs, of tasks whose process was lost, of missed deadlines. Those done
-- come from the audit log. Callbacks that a task runs in its own process are in its log. Readers: users, API, CLI.
create or replace view leoflow.callbacks as
select
    a.extra ->> 'callback' as callback,
    a.dag_id,
    a.run_id,
    a.task_id,
    a.map_index,
    a.try_number,
    a.extra ->> 'reason' as reason,
    a.extra ->> 'result' as state,
    (a.extra ->> 'requested_at')::timestamptz as requested_at,
    a.created_at as ended_at,
    (a.extra ->> 'seconds')::float8 as seconds,
    a.extra ->> 'error' as error,
    a.extra ->> 'output' as output
from leoflow_core.audit_log as a
where a.event = 'callback'
union all
select
    leoflow_core.callback_name(q.request ->> 'kind'),
    d.dag_id,
    r.run_id,
    k.task_id,
    (q.request ->> 'map_index')::int,
    (q.request ->> 'try_number')::int,
    q.request -> 'payload' ->> 'reason',
    q.state,
    (q.request ->> 'created_at')::timestamptz,
    null,
    null,
    null,
    null
from (
    select to_jsonb(o) as request, 'waiting' as state from leoflow_core.outbox as o
    union all
    select j.args, case j.status when 'doing' then 'running' else 'waiting' end
    from procrastinate.procrastinate_jobs as j
    where j.task_name = 'callback' and j.status in ('todo', 'doing')
) as q
inner join leoflow_core.dag_run as r on r.run_key = (q.request ->> 'run_key')::bigint
inner join leoflow_core.dag as d on d.dag_key = r.dag_key
left join leoflow_core.task as k on k.version_key = r.version_key and k.task_idx = (q.request ->> 'task_idx')::int;
comment on view leoflow.callbacks is
'Callbacks that Leoflow calls itself (of DAGs, lost tasks, missed deadlines): waiting, running, and how each one ended.';
comment on column leoflow.callbacks.callback is 'on_success_callback, on_failure_callback, on_retry_callback, or deadline.';
comment on column leoflow.callbacks.task_id is 'The task that caused it; null for the run as a whole.';
comment on column leoflow.callbacks.state is
'waiting, running; success, failed (it raised), timed_out, killed (a limit, a crash), given_up (its environment or the '
'machine failed too often).';
comment on column leoflow.callbacks.output is 'The last lines of what it printed and logged.';
