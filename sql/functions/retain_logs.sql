-- Deletes logs older than p_keep while their runs stay: partitions as a whole, and what lies in the default partition.
-- Kept: partitions with logs of unfinished runs, or with logs still to be copied. Returns how many partitions it dropped.
-- Locks: the maintenance advisory lock, tried; an exclusive lock on the parent for a moment, given up after 2 s.
-- Callers: scheduler.
create or replace function leoflow_core.retain_logs(p_keep interval) returns int language plpgsql as $$
declare
    v_before bigint := leoflow_core.run_key_at(clock_timestamp() - p_keep);
    v_partition record;
    v_dropped int := 0;
begin
    if p_keep <= interval '0' or not pg_try_advisory_xact_lock(leoflow_core.lock_class('maintain'), 2) then
        return 0;
    end if;
    perform set_config('lock_timeout', '2s', true);
    for v_partition in
        select
            c.relname,
            leoflow_core.run_key_at(to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp at time zone 'UTC') as since,
            leoflow_core.run_key_at((to_date(right(c.relname, 8), 'YYYYMMDD') + 7)::timestamp at time zone 'UTC') as until
        from pg_inherits as i
        join pg_class as c on c.oid = i.inhrelid
        where i.inhparent = 'leoflow_core.task_log'::regclass and c.relname ~ '_[0-9]{8}$'
    loop
        continue when v_partition.until > v_before
            or leoflow_core.needs_logs(v_partition.since, v_partition.until);
        begin
            execute format('drop table leoflow_core.%I', v_partition.relname);
            v_dropped := v_dropped + 1;
        exception when lock_not_available then
            return v_dropped; -- busy: the next turn tries again
        end;
    end loop;
    delete from leoflow_core.task_log_default as l
    where l.run_key < v_before and not leoflow_core.needs_logs(l.run_key, l.run_key + 1);
    return v_dropped;
end
$$;
comment on function leoflow_core.retain_logs(interval) is 'Deletes logs older than a time while their runs stay.';

-- Whether logs of runs in a range of keys (the second excluded) are being written or still to be copied.
-- Locks: none. Callers: retain_logs.
create or replace function leoflow_core.needs_logs(p_since bigint, p_until bigint) returns boolean language sql stable as $$
    select exists (
        select from leoflow_core.dag_run as r
        where r.run_key >= p_since and r.run_key < p_until and r.state in ('queued', 'running')
    ) or exists (select from leoflow_core.log_copy as c where c.run_key >= p_since and c.run_key < p_until)
$$;
comment on function leoflow_core.needs_logs(bigint, bigint) is 'Whether logs of a range of runs must stay.';
