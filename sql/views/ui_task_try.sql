-- Every try of every task instance, superseded ones first from history, for the Gantt chart.
-- A current try that waits for its retry is left out: its attempt is in the history already.
-- Callers: leoflow/api/ui/gantt.py. Locks: none.
create or replace view leoflow_core.ui_task_try as
select
    i.run_key,
    i.task_idx,
    i.map_index,
    t.task_id,
    coalesce(t.display_name, t.task_id) as task_display_name,
    i.try_number,
    i.state::text as state,
    i.scheduled_at as scheduled_dttm,
    i.queued_at as queued_dttm,
    i.start_date,
    i.end_date
from leoflow_core.all_task_instances as i
left join leoflow_core.task as t on i.version_key = t.version_key and i.task_idx = t.task_idx
where i.state is distinct from 'up_for_retry'
union all
select
    h.run_key,
    h.task_idx,
    h.map_index,
    t.task_id,
    coalesce(t.display_name, t.task_id) as task_display_name,
    h.try_number,
    h.state::text as state,
    h.scheduled_at as scheduled_dttm,
    h.queued_at as queued_dttm,
    h.start_date,
    h.end_date
from leoflow_core.task_attempt_history as h
left join leoflow_core.task as t on h.version_key = t.version_key and h.task_idx = t.task_idx;
comment on view leoflow_core.ui_task_try is 'All tries of task instances, current and superseded.';
