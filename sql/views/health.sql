-- One row per kind of process: whether a recent sign of life exists. Readers: users, API, CLI.
create or replace view leoflow.health as
select
    p.kind as component,
    case
        when max(p.heartbeat_at) filter (where p.ended_at is null) > clock_timestamp() - interval '30 seconds'
            then 'healthy'
        else 'unhealthy'
    end as status,
    max(p.heartbeat_at) as latest_heartbeat,
    count(*) filter (where p.ended_at is null and p.heartbeat_at > clock_timestamp() - interval '30 seconds') as processes
from leoflow_core.process as p
group by p.kind
union all
select
    'worker',
    case when bool_or(w.retired_at is null and w.lease_until > clock_timestamp()) then 'healthy' else 'unhealthy' end,
    max(w.heartbeat_at),
    count(*) filter (where w.retired_at is null and w.lease_until > clock_timestamp())
from leoflow_core.worker as w
having count(*) > 0;
comment on view leoflow.health is 'Signs of life of the processes.';
