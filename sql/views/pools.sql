-- Pools with what occupies them. Readers: users, API, CLI.
create or replace view leoflow.pools as
select
    p.name,
    p.slots,
    p.description,
    p.include_deferred,
    coalesce(u.running_slots, 0) + coalesce(u.queued_slots, 0)
    + case when p.include_deferred then coalesce(u.deferred_slots, 0) else 0 end as occupied_slots,
    coalesce(u.running_slots, 0) as running_slots,
    coalesce(u.queued_slots, 0) as queued_slots,
    coalesce(u.scheduled_slots, 0) as scheduled_slots,
    coalesce(u.deferred_slots, 0) as deferred_slots,
    case when p.slots < 0 then
        -1 else greatest(
        p.slots - coalesce(u.running_slots, 0) - coalesce(u.queued_slots, 0)
        - case when p.include_deferred then coalesce(u.deferred_slots, 0) else 0 end, 0
    ) end as open_slots,
    p.is_implied,
    p.pool_key
from leoflow_core.pool as p
left join (
    select
        t.pool_key,
        sum(t.pool_slots) filter (where t.state = 'running') as running_slots,
        sum(t.pool_slots) filter (where t.state = 'queued') as queued_slots,
        sum(t.pool_slots) filter (where t.state = 'scheduled') as scheduled_slots,
        sum(t.pool_slots) filter (where t.state = 'deferred') as deferred_slots
    from leoflow_core.dag_run as r
    join leoflow_core.task_instance as t on t.run_key = r.run_key
    where r.state = 'running' and t.state in ('running', 'queued', 'scheduled', 'deferred')
    group by t.pool_key
) as u on u.pool_key = p.pool_key;
comment on view leoflow.pools is 'Pools with what occupies them.';
