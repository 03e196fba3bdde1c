-- Creates a run of every DAG whose asset schedule is satisfied by queued events, up to p_limit. The run takes away all
-- events that are queued for its DAG: an event makes at most one run of a DAG, and one committed too late for this run
-- waits for the next. Returns how many runs were created and how many DAGs wait for max_active_runs.
-- Whoever commits an event calls this afterwards: the last of several finds all their events. Anyone may call it again.
-- Locks: per DAG, in key order, a transaction-level advisory lock, which is waited for; as create_run.
-- After the commit call wake_workers(). Callers: worker, API, scheduler.
create or replace function leoflow_core.create_asset_runs(p_limit int default 100, out created int, out blocked int)
language plpgsql as $$
declare
    v_dag_key int;
    v_dag leoflow_core.dag;
begin
    created := 0;
    blocked := 0;
    if exists (select from leoflow_core.partition_queue as q where q.taken_until is null) then
        notify leoflow_partitions; -- a scheduler maps their keys
    end if;
    for v_dag_key in
        select d.dag_key
        from (select distinct q.dag_key from leoflow_core.asset_queue as q where q.counts and not q.is_checked) as q
        join leoflow_core.dag as d on d.dag_key = q.dag_key
        where not d.is_paused and not d.is_stale and not d.has_import_errors
        order by d.dag_key
    loop
        exit when created >= p_limit;
        perform pg_advisory_xact_lock(leoflow_core.lock_class('asset_runs'), v_dag_key);
        select d.* into v_dag from leoflow_core.dag as d
        where d.dag_key = v_dag_key and not d.is_paused and not d.is_stale and not d.has_import_errors;
        continue when not found;
        if not leoflow_core.asset_condition_met(v_dag.schedule -> 'expression', array(
            select distinct q.asset_key from leoflow_core.asset_queue as q where q.dag_key = v_dag_key and q.counts
        )) then
            perform leoflow_core.check_asset_queue(v_dag_key, v_dag.schedule -> 'expression');
            continue;
        end if;
        if (
            select count(*) from (
                select from leoflow_core.dag_run as r
                where r.dag_key = v_dag_key and r.state in ('queued', 'running') limit v_dag.max_active_runs
            ) as active
        ) >= v_dag.max_active_runs then
            blocked := blocked + 1;
            continue;
        end if;
        begin
            perform leoflow_core.create_asset_run(v_dag);
            created := created + 1;
        exception when sqlstate 'LF404' or sqlstate 'LF409' or sqlstate 'LF422' then
            -- no other DAG may wait for one that cannot run; its events stay, and it is tried again when another comes
            raise warning 'events start no run of DAG %: %', v_dag.dag_id, sqlerrm;
            update leoflow_core.asset_queue as q set is_checked = true where q.dag_key = v_dag_key;
        end;
    end loop;
end
$$;
comment on function leoflow_core.create_asset_runs(int) is
'Creates a run of every DAG whose asset schedule is satisfied by queued events.';

-- Creates the run of a DAG that takes away all events that are queued for it. Raises as create_run.
-- Locks: as create_run; the caller holds the DAG's asset_runs lock. Callers: create_asset_runs.
create or replace function leoflow_core.create_asset_run(p_dag leoflow_core.dag) returns void language plpgsql as $$
declare
    v_run bigint;
    v_at timestamptz;
    v_events bigint[];
    v_times timestamptz[];
begin
    with taken as (
        delete from leoflow_core.asset_queue as q where q.dag_key = p_dag.dag_key
        returning q.event_key, q.event_at, q.counts
    )
    select array_agg(t.event_key), array_agg(t.event_at), max(t.event_at) filter (where t.counts)
    into v_events, v_times, v_at
    from taken as t;
    select c.run_key into v_run from leoflow_core.create_run(
        p_dag_id => p_dag.dag_id, p_run_type => 'asset_triggered', p_run_after => v_at, p_triggered_by => 'asset',
        p_run_id => 'asset_triggered__' || leoflow_core.isoformat(v_at) || '_' || leoflow_core.random_suffix()
    ) as c;
    insert into leoflow_core.dag_run_asset_event (run_key, event_key, event_at)
    select v_run, e.event_key, e.event_at from unnest(v_events, v_times) as e(event_key, event_at);
end
$$;
comment on function leoflow_core.create_asset_run(leoflow_core.dag) is 'Creates the run of a DAG that takes away its events.';

-- Remembers that a DAG's schedule was evaluated with the events queued so far, so that they are not looked at again
-- until another one comes; unless one has come since. Locks: the rows it marks; the caller holds the DAG's asset_runs
-- lock. Callers: create_asset_runs.
create or replace function leoflow_core.check_asset_queue(p_dag_key int, p_expression jsonb) returns void
language plpgsql as $$
declare
    v_keys int[];
begin
    with marked as (
        update leoflow_core.asset_queue as q set is_checked = true
        where q.dag_key = p_dag_key and q.counts and not q.is_checked
        returning q.asset_key
    )
    select array_agg(m.asset_key) into v_keys from marked as m;
    if leoflow_core.asset_condition_met(p_expression, array(
        select distinct q.asset_key from leoflow_core.asset_queue as q where q.dag_key = p_dag_key and q.counts and q.is_checked
    )) then
        update leoflow_core.asset_queue as q set is_checked = false where q.dag_key = p_dag_key and q.is_checked;
    end if;
end
$$;
comment on function leoflow_core.check_asset_queue(int, jsonb) is
'Remembers that a DAG''s schedule was evaluated with the events queued so far.';

-- Eight random letters and digits: they tell runs apart that start at the same moment, as in Airflow.
-- Locks: none. Callers: create_asset_runs.
create or replace function leoflow_core.random_suffix() returns text language sql volatile as $$
    select string_agg(
        substr('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', 1 + floor(random() * 62)::int, 1), ''
    )
    from generate_series(1, 8)
$$;
comment on function leoflow_core.random_suffix() is 'Eight random letters and digits.';
