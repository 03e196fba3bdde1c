-- Contract: one row per reason why an instance that is not placed yet waits; none for instances that are active or done.
-- Callers: the API's `dependencies` resource. Only for reads of a few instances.
create or replace view leoflow_core.api_blocking as
with waiting as (
    select
        i.run_key,
        i.task_idx,
        i.map_index,
        i.state,
        i.trigger_rule::text as trigger_rule,
        i.upstreams,
        i.up_success,
        i.up_failed,
        i.up_upstream_failed,
        i.up_skipped,
        i.up_removed,
        i.pool_slots,
        i.due_at,
        r.state as run_state,
        d.dag_id,
        d.is_paused,
        d.max_active_runs,
        p.name as pool,
        p.slots
    from leoflow_core.task_instance i
    join leoflow_core.dag_run r on r.run_key = i.run_key
    join leoflow_core.dag d on d.dag_key = r.dag_key
    join leoflow_core.pool p on p.pool_key = i.pool_key
    where i.state is null or i.state = 'scheduled'
)
select
    w.run_key,
    w.task_idx,
    w.map_index,
    why.name,
    why.reason
from waiting w
cross join
    lateral (
        values
        (
            'Dagrun Running',
            'Task instance''s dagrun was not in the ''running'' state but in the state ''' || w.run_state || '''.',
            w.run_state <> 'running'
        ),
        ('Dag Not Paused', 'Task''s DAG ''' || w.dag_id || ''' is paused.', w.is_paused),
        (
            'Trigger Rule',
            format(
                'Task''s trigger rule ''%s'' is not met yet: of %s upstream tasks, %s succeeded, %s failed, '
                '%s are upstream_failed, %s were skipped.',
                w.trigger_rule, w.upstreams, w.up_success, w.up_failed, w.up_upstream_failed, w.up_skipped
            ),
            w.state is null
        ),
        (
            'Pool Slots Available',
            format('The pool ''%s'' has %s slots, fewer than the %s the task asks for.', w.pool, w.slots, w.pool_slots),
            w.slots >= 0 and w.slots < w.pool_slots
        ),
        (
            'Not In Retry Period',
            format('Task is waiting for its time, %s.', w.due_at),
            w.due_at is not null
        )
    ) as why (name, reason, applies)
where why.applies;

comment on view leoflow_core.api_blocking is 'Why task instances that are not placed yet wait.';
