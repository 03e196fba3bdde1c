-- Moves the instances of runs that ended more than history_after_seconds ago to the time-partitioned history: whole
-- runs, at least one, about p_limit instances. Returns how many runs. Readers see no difference (all_task_instances).
-- A lost move is made again, so it turns synchronous_commit off: call it in its own transaction.
-- Locks: the runs (who holds one keeps it live), then their instances; gives up at once when those are held.
-- Callers: scheduler.
create or replace function leoflow_core.archive_runs(p_limit int default 20000) returns int language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
set lock_timeout = '100ms'
as $$
#variable_conflict use_column
declare
    v_before timestamptz := clock_timestamp()
        - make_interval(secs => leoflow_core.setting('history_after_seconds')::float8);
    v_runs bigint[];
begin
    perform set_config('synchronous_commit', 'off', true);
    with ended as materialized (
        select r.run_key, r.end_date, r.instance_count from leoflow_core.dag_run as r
        where r.state in ('success', 'failed') and r.archived_at is null and r.end_date < v_before
        order by r.end_date limit 500
        for no key update skip locked
    ),
    counted as (
        select e.run_key, sum(e.instance_count) over (order by e.end_date, e.run_key) - e.instance_count as before
        from ended as e
    )
    select array_agg(c.run_key order by c.run_key) into v_runs from counted as c where c.before < p_limit;
    if v_runs is null then
        return 0;
    end if;
    update leoflow_core.dag_run as r set archived_at = clock_timestamp() where r.run_key = any(v_runs);
    with moved as (delete from leoflow_core.task_instance as t where t.run_key = any(v_runs) returning t.*)
    insert into leoflow_core.task_instance_history select * from moved;
    with moved as (delete from leoflow_core.task_instance_extra as x where x.run_key = any(v_runs) returning x.*)
    insert into leoflow_core.task_instance_extra_history select * from moved;
    return cardinality(v_runs);
exception when lock_not_available then
    return 0; -- someone acts on one of these runs; the next turn tries again
end
$$;
comment on function leoflow_core.archive_runs(int) is 'Moves the instances of runs that ended a while ago to history.';

-- Seconds until archive_runs has something to do, null when no ended run is live. Locks: none. Callers: scheduler.
create or replace function leoflow_core.seconds_to_archive() returns float8 language sql stable as $$
    select extract(epoch from min(r.end_date) - clock_timestamp())::float8
        + leoflow_core.setting('history_after_seconds')::float8
    from leoflow_core.dag_run as r where r.state in ('success', 'failed') and r.archived_at is null
$$;
comment on function leoflow_core.seconds_to_archive() is 'Seconds until archive_runs has something to do.';

-- Brings the instances of a run back from history, if they are there, and keeps them live until the end of the
-- transaction: whoever changes an ended run calls it (or lock_run, which does) before reading the live tables.
-- Locks: the run, when it has ended. Callers: lock_run, the API's notes.
create or replace function leoflow_core.restore_run(p_run_key bigint) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    v_archived_at timestamptz;
begin
    -- a run that has not ended cannot be moved; locking it here would be out of order (docs/state-machine.md)
    select r.archived_at into v_archived_at from leoflow_core.dag_run as r
    where r.run_key = p_run_key and r.state in ('success', 'failed') for update;
    if v_archived_at is null then
        return;
    end if;
    with moved as (delete from leoflow_core.task_instance_history as t where t.run_key = p_run_key returning t.*)
    insert into leoflow_core.task_instance select * from moved;
    with moved as (delete from leoflow_core.task_instance_extra_history as x where x.run_key = p_run_key returning x.*)
    insert into leoflow_core.task_instance_extra select * from moved;
    update leoflow_core.dag_run as r set archived_at = null where r.run_key = p_run_key;
end
$$;
comment on function leoflow_core.restore_run(bigint) is 'Brings the instances of a run back from history.';
