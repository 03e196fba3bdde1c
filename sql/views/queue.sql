-- What is claimable or held up, best first, and by which rule. Readers: users, API, CLI.
create or replace view leoflow.queue as
select
    d.dag_id,
    r.run_id as dag_run_id,
    k.task_id,
    t.map_index,
    t.state,
    q.name as queue,
    p.name as pool,
    t.pool_slots,
    t.priority as priority_weight,
    t.scheduled_at as scheduled_when,
    case
        when d.is_paused then 'dag is paused'
        when t.ready_key is not null then null
        when t.state in ('up_for_retry', 'up_for_reschedule') then 'waits until ' || t.due_at
        when t.state = 'deferred' and h.run_key is not null then 'waits for an answer: ' || h.subject
        when t.state = 'deferred' and g.triggerer_key is null then 'waits for a triggerer to run ' || g.classpath
        when t.state = 'deferred' then 'waits for ' || g.classpath
        when p.slots >= 0 and p.slots < t.pool_slots then 'pool has fewer slots than the task needs'
        when p.slots >= 0 and p.slots - coalesce(u.used, 0) < t.pool_slots then 'pool is full'
        when p.slots >= 0 and exists (
            -- as is_overtaken, which readers of the view may not call
            select from leoflow_core.task_instance as b
            where
                b.pool_key = t.pool_key and (b.gate_key, b.run_key) < (t.gate_key, t.run_key)
                and b.pool_slots > p.slots - coalesce(u.used, 0) and b.pool_slots <= p.slots
                and b.scheduled_at < clock_timestamp() - make_interval(secs => o.seconds)
        ) then 'a task before it waits for slots'
        when r.is_gated and coalesce(a.used, 0) >= v.max_active_tasks then 'max_active_tasks'
        when k.max_active_tis_per_dag is not null or k.max_active_tis_per_dagrun is not null then 'max_active_tis'
        when k.depends_on_past or k.wait_for_downstream then 'depends_on_past'
    end as blocked_by,
    t.run_key,
    t.task_idx
from leoflow_core.task_instance as t
join leoflow_core.dag_run as r on r.run_key = t.run_key and r.state = 'running'
join leoflow_core.dag as d on d.dag_key = r.dag_key
join leoflow_core.dag_version as v on v.version_key = r.version_key
join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
join leoflow_core.queue as q on q.queue_key = t.queue_key
join leoflow_core.pool as p on p.pool_key = t.pool_key
left join lateral (
    select sum(g.pool_slots) as used from leoflow_core.gate_token as g
    where g.pool_key = t.pool_key and g.pool_slots > 0
) as u on true
left join lateral (select count(*) as used from leoflow_core.gate_token as g where g.run_key = t.run_key) as a on true
cross join (
    select (s.value #>> '{}')::float8 as seconds from leoflow_core.setting as s where s.key = 'overtaking_seconds'
) as o
left join leoflow_core.trigger as g
    on
        t.state = 'deferred' and g.run_key = t.run_key and g.task_idx = t.task_idx and g.map_index = t.map_index
        and g.attempt_id = t.attempt_id
left join leoflow_core.hitl_detail as h
    on
        t.state = 'deferred' and h.run_key = t.run_key and h.task_idx = t.task_idx and h.map_index = t.map_index
        and h.try_number = t.try_number and h.responded_at is null
where t.state in ('scheduled', 'up_for_retry', 'up_for_reschedule', 'deferred')
union all
select
    d.dag_id, r.run_id, null, null, null, null, null, null, null, r.queued_at,
    case when d.is_paused then 'dag is paused' else 'max_active_runs' end, r.run_key, null
from leoflow_core.dag_run as r
join leoflow_core.dag as d on d.dag_key = r.dag_key
where r.state = 'queued';
comment on view leoflow.queue is 'What is claimable or held up, and by which rule.';
