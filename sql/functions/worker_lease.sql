-- Registers a worker with a lease and returns its key. Locks: its new row. Callers: worker.
create or replace function leoflow_core.register_worker(
    p_hostname text, p_pid int, p_slots int, p_kind text default 'local', p_queues text[] default null,
    p_lease interval default '30 seconds', p_worker_id uuid default null
) returns int language sql as $$
    insert into leoflow_core.worker as w (worker_id, hostname, pid, kind, slots, queues, lease_until)
    values (
        coalesce(p_worker_id, gen_random_uuid()), p_hostname, p_pid, p_kind, p_slots, p_queues,
        clock_timestamp() + p_lease
    )
    returning w.worker_key
$$;
comment on function leoflow_core.register_worker(text, int, int, text, text[], interval, uuid) is
'Registers a worker with a lease and returns its key.';

-- Renews a worker's lease. False: the lease ran out or the worker was retired, so its attempts may already run
-- elsewhere; it must stop them and register again.
-- Locks: the worker's row. Callers: worker.
create or replace function leoflow_core.heartbeat(
    p_worker_key int, p_lease interval default '30 seconds', p_is_idle boolean default null
) returns boolean language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    update leoflow_core.worker as w set
        heartbeat_at = clock_timestamp(), lease_until = clock_timestamp() + p_lease,
        is_idle = coalesce(p_is_idle, w.is_idle)
    where w.worker_key = p_worker_key and w.retired_at is null and w.lease_until > clock_timestamp();
    return found;
end
$$;
comment on function leoflow_core.heartbeat(int, interval, boolean) is 'Renews a worker''s lease; false when it is lost.';

-- A worker says goodbye: attempts it still has are given to others at the next reap.
-- Locks: the worker's row. Callers: worker.
create or replace function leoflow_core.retire_worker(p_worker_key int) returns void language sql as $$
    update leoflow_core.worker as w set
        retired_at = clock_timestamp(), lease_until = least(w.lease_until, clock_timestamp()), is_idle = false
    where w.worker_key = p_worker_key
$$;
comment on function leoflow_core.retire_worker(int) is 'A worker says goodbye.';

-- Says whether a worker sleeps until it is woken. Commit it before the last claim that precedes the sleep.
-- Locks: the worker's row. Callers: worker.
create or replace function leoflow_core.set_idle(p_worker_key int, p_is_idle boolean) returns void language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    update leoflow_core.worker as w set is_idle = p_is_idle
    where w.worker_key = p_worker_key and w.is_idle <> p_is_idle;
end
$$;
comment on function leoflow_core.set_idle(int, boolean) is 'Says whether a worker sleeps until it is woken.';

-- Wakes sleeping workers (channel leoflow_work, no payload), if there are any. Call it after the commit that made
-- work claimable, never inside: a notification holds a global lock until its transaction is on disk.
-- Locks: the notification queue. Callers: everyone who makes work claimable.
create or replace function leoflow_core.wake_workers() returns boolean language plpgsql as $$
begin
    if exists (
        select from leoflow_core.worker as w
        where w.is_idle and w.retired_at is null and w.lease_until > clock_timestamp()
    ) then
        -- a bare hint need not be durable; what the caller wrote in this transaction must be
        if pg_current_xact_id_if_assigned() is null then
            perform set_config('synchronous_commit', 'off', true);
        end if;
        notify leoflow_work;
        return true;
    end if;
    return false;
end
$$;
comment on function leoflow_core.wake_workers() is 'Wakes sleeping workers, if there are any.';

-- A control-plane process says that it lives. Locks: its row. Callers: scheduler, triggerer, API.
create or replace function leoflow_core.process_heartbeat(
    p_kind text, p_hostname text, p_pid int, p_detail jsonb default '{}'
) returns void language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into leoflow_core.process as p (kind, hostname, pid, detail) values (p_kind, p_hostname, p_pid, p_detail)
    on conflict (kind, hostname, pid) do update set
        heartbeat_at = clock_timestamp(), ended_at = null, detail = excluded.detail;
end
$$;
comment on function leoflow_core.process_heartbeat(text, text, int, jsonb) is 'A control-plane process says that it lives.';
