-- Workers, their leases and what they run. Readers: users, API, CLI.
create or replace view leoflow.workers as
select
    w.worker_id,
    w.hostname,
    w.pid,
    w.kind,
    w.slots,
    w.queues,
    case
        when w.retired_at is not null then 'retired'
        when w.lease_until <= clock_timestamp() then 'lost'
        else 'alive'
    end as state,
    w.is_idle,
    w.started_at,
    w.heartbeat_at,
    w.lease_until,
    w.retired_at,
    w.worker_key
from leoflow_core.worker as w;
comment on view leoflow.workers is 'Workers and their leases.';
