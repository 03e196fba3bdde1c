-- Raises LF410 unless the worker is registered, not retired, and its lease has not run out.
-- Locks: the worker's row for key share until the end of the transaction, so that reap cannot overlook what this
-- transaction is about to give the worker. Callers: claim.
create or replace function leoflow_core.require_lease(p_worker_key int) returns void language plpgsql as $$
begin
    if not leoflow_core.has_lease(p_worker_key) then
        perform leoflow_core.reject('LF410', format('worker %s has no lease', p_worker_key),
            'stop its attempts and register again');
    end if;
end
$$;
comment on function leoflow_core.require_lease(int) is 'Raises LF410 unless the worker has a lease.';

-- Whether the worker has a lease; holds its row like require_lease. Locks: the worker's row for key share.
-- Callers: require_lease, finish.
create or replace function leoflow_core.has_lease(p_worker_key int) returns boolean language plpgsql as $$
begin
    perform from leoflow_core.worker as w
    where w.worker_key = p_worker_key and w.retired_at is null and w.lease_until > clock_timestamp()
    for key share;
    return found;
end
$$;
comment on function leoflow_core.has_lease(int) is 'Whether the worker has a lease.';
