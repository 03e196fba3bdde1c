-- Log chunks of attempts in order of seq; lines are newline-delimited JSON. Readers: users, API, CLI.
create or replace view leoflow.task_logs as
select
    d.dag_id,
    r.run_id as dag_run_id,
    k.task_id,
    l.map_index,
    l.try_number,
    l.seq,
    l.lines,
    l.line_count,
    l.created_at,
    l.run_key,
    l.task_idx
from leoflow_core.task_log as l
join leoflow_core.dag_run as r on r.run_key = l.run_key
join leoflow_core.dag as d on d.dag_key = r.dag_key
join leoflow_core.task as k on k.version_key = r.version_key and k.task_idx = l.task_idx;
comment on view leoflow.task_logs is 'Log chunks of attempts.';
