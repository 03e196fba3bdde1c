-- One row per list parameter of a reducer and run: how its slots are filled. The parameter is a list of task calls,
-- which has a slot per call, or all that a mapped task returns: a slot per instance, none before it is expanded.
-- Readers: users, API, CLI.
create or replace view leoflow.map_reduce as
select
    d.dag_id,
    r.run_id as dag_run_id,
    k.task_id,
    i.param,
    count(u.run_key) as slots,
    count(u.run_key) filter (where u.state = 'success' and coalesce(x.value, 'null') <> 'null'::bytea) as filled,
    count(u.run_key) filter (where u.state = 'success' and coalesce(x.value, 'null') = 'null'::bytea) as "null",
    count(u.run_key) filter (where u.state in ('failed', 'upstream_failed')) as failed,
    count(u.run_key) filter (where u.state in ('skipped', 'removed')) as skipped,
    count(u.run_key) filter (
        where u.state is null or u.state not in ('success', 'failed', 'upstream_failed', 'skipped', 'removed')
    ) as waiting,
    t.state,
    t.run_key,
    t.task_idx
from leoflow_core.all_task_instances as t
join leoflow_core.reduce_input as i on i.version_key = t.version_key and i.task_idx = t.task_idx
join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
join leoflow_core.dag_run as r on r.run_key = t.run_key
join leoflow_core.dag as d on d.dag_key = r.dag_key
left join leoflow_core.all_task_instances as u
    on
        u.run_key = t.run_key and u.task_idx = i.upstream_idx
        and (i.slot >= 0 or (u.map_index >= 0 and u.state is distinct from 'removed'))
left join leoflow_core.xcom as x
    on x.run_key = u.run_key and x.task_idx = u.task_idx and x.map_index = u.map_index and x.key = 'return_value'
group by d.dag_id, r.run_id, k.task_id, i.param, t.state, t.run_key, t.task_idx;
comment on view leoflow.map_reduce is 'How the slots of each reducer''s list parameters are filled.';
