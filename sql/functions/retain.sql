-- Deletes what is older than p_keep: weeks as a whole first, then finished runs (at most p_limit; of those whose weeks
-- are gone only their own rows are left), retired workers, dead processes, expired tokens.
-- Returns how many runs it deleted: call it again while that is p_limit.
-- Locks: the maintenance advisory lock, tried; as drop_old_weeks and erase_runs. Callers: scheduler.
create or replace function leoflow_core.retain(p_keep interval, p_limit int default 100) returns int
language plpgsql as $$
declare
    v_before timestamptz := clock_timestamp() - p_keep;
    v_runs bigint[];
begin
    if p_keep <= interval '0' or not pg_try_advisory_xact_lock(leoflow_core.lock_class('maintain'), 2) then
        return 0;
    end if;
    perform leoflow_core.drop_old_weeks(v_before);
    select array_agg(r.run_key) into v_runs from (
        select r.run_key from leoflow_core.dag_run as r
        where r.run_key < leoflow_core.run_key_at(v_before) and r.state in ('success', 'failed') and r.end_date < v_before
        order by r.run_key limit p_limit
    ) as r;
    if v_runs is not null then
        perform leoflow_core.erase_runs(v_runs);
    end if;
    delete from leoflow_core.asset_queue as q where q.event_at < v_before;
    delete from leoflow_core.asset_partition_run as r where r.run_key is null and r.updated_at < v_before;
    delete from leoflow_core.worker as w where w.reaped_at < v_before;
    delete from leoflow_core.process as p where p.heartbeat_at < v_before;
    delete from leoflow_core.revoked_token as t where t.exp < clock_timestamp();
    return coalesce(cardinality(v_runs), 0);
end
$$;
comment on function leoflow_core.retain(interval, int) is 'Deletes what is older than a time.';

-- Drops the partitions of weeks that ended before a time, oldest first, at most p_limit partitions: dropping costs the
-- same however much they hold. A week of runs goes only when all of its runs ended before that time as well; their rows
-- in dag_run, which other tables refer to, are left for retain. Returns how many partitions it dropped.
-- Locks: an exclusive lock on the partitions' parents until the end of the transaction, given up after 2 s.
-- Callers: retain.
create or replace function leoflow_core.drop_old_weeks(p_before timestamptz, p_limit int default 50) returns int
language plpgsql as $$
declare
    v_partition record;
    v_dropped int := 0;
begin
    perform set_config('lock_timeout', '2s', true);
    for v_partition in
        with old as materialized (
            select c.relname, p.relname as parent, (to_date(right(c.relname, 8), 'YYYYMMDD'))::timestamp at time zone 'UTC' as since
            from pg_inherits as i
            join pg_class as c on c.oid = i.inhrelid
            join pg_class as p on p.oid = i.inhparent
            join pg_namespace as n on n.oid = p.relnamespace and n.nspname = 'leoflow_core'
            where p.relname = any(leoflow_core.partitioned_tables()) and c.relname ~ '_[0-9]{8}$'
                and to_date(right(c.relname, 8), 'YYYYMMDD') + 7 < (p_before at time zone 'UTC')::date
        ),
        kept as materialized (
            select w.since from (select distinct o.since from old as o) as w
            where exists (
                select from leoflow_core.dag_run as r
                where r.run_key >= leoflow_core.run_key_at(w.since)
                    and r.run_key < leoflow_core.run_key_at(w.since + interval '7 days')
                    and (r.state in ('queued', 'running') or r.end_date is null or r.end_date >= p_before)
            )
        )
        select o.relname from old as o
        where leoflow_core.partition_key(o.parent) <> 'run_key' or o.since not in (select k.since from kept as k)
        order by o.since, o.relname
        limit p_limit
    loop
        begin
            execute format('drop table leoflow_core.%I', v_partition.relname);
            v_dropped := v_dropped + 1;
        exception when lock_not_available then
            return v_dropped; -- busy: the next turn tries again
        end;
    end loop;
    return v_dropped;
end
$$;
comment on function leoflow_core.drop_old_weeks(timestamptz, int) is
'Drops the partitions of weeks that ended before a time, as far as nothing in them is needed.';
