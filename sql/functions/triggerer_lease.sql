-- Registers a triggerer with a lease and returns its key. Triggers that an earlier process of the same host and process
-- id still held are free again. Locks: its row, those triggers. Callers: triggerer.
create or replace function leoflow_core.register_triggerer(
    p_hostname text, p_pid int, p_lease interval, p_detail jsonb default '{}'
) returns int language plpgsql as $$
declare
    v_key int;
begin
    insert into leoflow_core.process as p (kind, hostname, pid, detail, lease_until)
    values ('triggerer', p_hostname, p_pid, p_detail, clock_timestamp() + p_lease)
    on conflict (kind, hostname, pid) do update set
        started_at = clock_timestamp(), heartbeat_at = clock_timestamp(), ended_at = null,
        detail = excluded.detail, lease_until = excluded.lease_until
    returning p.process_key into v_key;
    update leoflow_core.trigger as g set triggerer_key = null where g.triggerer_key = v_key;
    perform leoflow_core.release_watchers(v_key);
    return v_key;
end
$$;
comment on function leoflow_core.register_triggerer(text, int, interval, jsonb) is
'Registers a triggerer with a lease and returns its key.';

-- Renews a triggerer's lease. False: it ran out, so its triggers may already run elsewhere; it must stop them and
-- register again. Locks: its row. Callers: triggerer_beat.
create or replace function leoflow_core.triggerer_heartbeat(p_triggerer_key int, p_lease interval) returns boolean
language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    update leoflow_core.process as p set
        heartbeat_at = clock_timestamp(), lease_until = clock_timestamp() + p_lease
    where p.process_key = p_triggerer_key and p.ended_at is null and p.lease_until > clock_timestamp();
    return found;
end
$$;
comment on function leoflow_core.triggerer_heartbeat(int, interval) is
'Renews a triggerer''s lease; false when it is lost.';

-- Raises LF410 when a triggerer has no lease. Locks: its row for key share. Callers: claim_triggers, claim_watchers.
create or replace function leoflow_core.require_triggerer(p_triggerer_key int) returns void language plpgsql as $$
begin
    perform from leoflow_core.process as p
    where p.process_key = p_triggerer_key and p.ended_at is null and p.lease_until > clock_timestamp()
    for key share;
    if not found then
        perform leoflow_core.reject('LF410', format('triggerer %s has no lease', p_triggerer_key),
            'stop its triggers and register again');
    end if;
end
$$;
comment on function leoflow_core.require_triggerer(int) is 'Raises LF410 when a triggerer has no lease.';

-- A triggerer says goodbye: its triggers are free for others at once. Locks: its row, its triggers. Callers: triggerer.
create or replace function leoflow_core.retire_triggerer(p_triggerer_key int) returns void language plpgsql as $$
begin
    update leoflow_core.process as p set ended_at = clock_timestamp(), lease_until = clock_timestamp()
    where p.process_key = p_triggerer_key;
    update leoflow_core.trigger as g set triggerer_key = null where g.triggerer_key = p_triggerer_key;
    perform leoflow_core.release_watchers(p_triggerer_key);
end
$$;
comment on function leoflow_core.retire_triggerer(int) is 'A triggerer says goodbye.';

-- Brings a triggerer's triggers in line with the p_keys it runs: drops those whose instances do not wait for them any
-- more (cleared, marked, cancelled, timed out, deleted), frees those it does not know of (the answer to its claim was
-- lost), and returns the keys it must stop: dropped ones, and ones others have. Never while it claims.
-- Locks: the rows dropped and freed. Callers: triggerer_beat.
create or replace function leoflow_core.lost_triggers(p_triggerer_key int, p_keys bigint[]) returns setof bigint
language plpgsql set jit = off as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    delete from leoflow_core.trigger as g
    where g.triggerer_key = p_triggerer_key and not exists (
        select from leoflow_core.task_instance as t
        where t.run_key = g.run_key and t.task_idx = g.task_idx and t.map_index = g.map_index
            and t.state = 'deferred' and t.attempt_id = g.attempt_id
    );
    update leoflow_core.trigger as g set triggerer_key = null
    where g.triggerer_key = p_triggerer_key
        and not exists (select from unnest(p_keys) as k(trigger_key) where k.trigger_key = g.trigger_key);
    return query
    select k.trigger_key from unnest(p_keys) as k(trigger_key)
    left join leoflow_core.trigger as g on g.trigger_key = k.trigger_key and g.triggerer_key = p_triggerer_key
    where g.trigger_key is null;
end
$$;
comment on function leoflow_core.lost_triggers(int, bigint[]) is
'Brings a triggerer''s triggers in line with those it runs; returns which ones it must stop.';

-- What a triggerer says now and then, in one round trip: that it lives, and which triggers of tasks and of watchers it
-- runs. Answers whether it still has its lease, and if so which of them it must stop (lost_triggers, lost_watchers).
-- Locks: theirs. Callers: triggerer.
create or replace function leoflow_core.triggerer_beat(
    p_triggerer_key int, p_lease interval, p_triggers bigint[], p_watchers bigint[],
    out alive boolean, out lost bigint[], out lost_watchers bigint[]
) language plpgsql as $$
begin
    alive := leoflow_core.triggerer_heartbeat(p_triggerer_key, p_lease);
    if alive then
        lost := array(select leoflow_core.lost_triggers(p_triggerer_key, p_triggers));
        lost_watchers := array(select leoflow_core.lost_watchers(p_triggerer_key, p_watchers));
    end if;
end
$$;
comment on function leoflow_core.triggerer_beat(int, interval, bigint[], bigint[]) is
'Renews a triggerer''s lease, and says which of its triggers it must stop.';

-- Gives up every triggerer there is, so that what they left is run again at once and not when their leases end.
-- Locks: their rows and triggers. Callers: Lite, which knows that they are dead.
create or replace function leoflow_core.retire_all_triggerers() returns void language sql as $$
    select leoflow_core.retire_triggerer(p.process_key)
    from leoflow_core.process as p
    where p.kind = 'triggerer' and p.ended_at is null
$$;
comment on function leoflow_core.retire_all_triggerers() is 'Gives up every triggerer there is.';
