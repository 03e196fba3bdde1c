-- Pauses or unpauses a backfill: while paused none of its runs starts, running ones go on. Workers are woken.
-- Raises LF404, LF409 (it is over).
-- Locks: the backfill's row. Callers: operators, API, CLI.
create or replace function leoflow.pause_backfill(p_backfill_id bigint, p_is_paused boolean default true, p_user text default null)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_dag_id text;
begin
    v_dag_id := leoflow_core.lock_backfill(p_backfill_id);
    update leoflow_core.backfill as b set is_paused = p_is_paused, updated_at = clock_timestamp()
    where b.backfill_key = p_backfill_id and b.is_paused is distinct from p_is_paused;
    perform leoflow_core.write_audit(case when p_is_paused then 'pause_backfill' else 'unpause_backfill' end, p_user,
        v_dag_id, p_extra => jsonb_build_object('backfill_id', p_backfill_id));
    perform leoflow_core.wake_workers();
end
$$;
comment on function leoflow.pause_backfill(bigint, boolean, text) is 'Pauses or unpauses a backfill.';

-- Cancels a backfill: its queued runs fail without having started, running ones go on to their end; it is over.
-- Raises LF404, LF409 (it is over already).
-- Locks: the DAG's start_runs lock, so that none of them starts meanwhile; the queued runs as lock_run, the backfill's row.
-- Callers: operators, API, CLI.
create or replace function leoflow.cancel_backfill(p_backfill_id bigint, p_user text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_dag_id text;
    v_dag_key int;
    v_run bigint;
begin
    select b.dag_key into v_dag_key from leoflow_core.backfill as b where b.backfill_key = p_backfill_id;
    if found then
        perform pg_advisory_xact_lock(leoflow_core.lock_class('start_runs'), v_dag_key);
    end if;
    for v_run in
        select r.run_key from leoflow_core.backfill as b
        join leoflow_core.dag_run as r on r.backfill_key = b.backfill_key and r.state = 'queued'
        where b.backfill_key = p_backfill_id and b.completed_at is null order by r.run_key
    loop
        perform leoflow_core.lock_run(v_run);
        perform leoflow_core.end_queued_run(v_run);
    end loop;
    v_dag_id := leoflow_core.lock_backfill(p_backfill_id);
    update leoflow_core.backfill as b set
        is_paused = true, completed_at = clock_timestamp(), updated_at = clock_timestamp()
    where b.backfill_key = p_backfill_id;
    perform leoflow_core.write_audit('cancel_backfill', p_user, v_dag_id,
        p_extra => jsonb_build_object('backfill_id', p_backfill_id));
end
$$;
comment on function leoflow.cancel_backfill(bigint, text) is 'Cancels a backfill: its queued runs fail, running ones go on.';

-- Fails a queued run that never ran: everything unfinished in it is skipped, teardowns too.
-- Locks: the caller holds the run. Callers: cancel_backfill.
create or replace function leoflow_core.end_queued_run(p_run_key bigint) returns void language plpgsql as $$
begin
    update leoflow_core.task_instance as t set
        state = 'skipped', ready_key = null, gate_key = null, due_at = null,
        start_date = coalesce(t.start_date, clock_timestamp()), end_date = clock_timestamp()
    where t.run_key = p_run_key and not leoflow_core.is_final(t.state);
    delete from leoflow_core.join_counter as j where j.run_key = p_run_key;
    update leoflow_core.dag_run as r set
        state = 'failed', remaining = 0, open_slots = 0, end_date = clock_timestamp(), updated_at = clock_timestamp()
    where r.run_key = p_run_key;
end
$$;
comment on function leoflow_core.end_queued_run(bigint) is 'Fails a queued run that never ran.';

-- Locks an unfinished backfill; returns its dag_id. Raises LF404, LF409.
-- Locks: the backfill's row. Callers: pause_backfill, cancel_backfill.
create or replace function leoflow_core.lock_backfill(p_backfill_id bigint) returns text language plpgsql as $$
declare
    v_dag_id text;
    v_completed timestamptz;
begin
    select d.dag_id, b.completed_at into v_dag_id, v_completed
    from leoflow_core.backfill as b
    join leoflow_core.dag as d on d.dag_key = b.dag_key
    where b.backfill_key = p_backfill_id for update of b;
    if not found then
        perform leoflow_core.reject('LF404', format('Could not find backfill with id %s', p_backfill_id),
            'list them with `leoflow backfill list`');
    end if;
    if v_completed is not null then
        perform leoflow_core.reject('LF409', 'Backfill is already completed.', 'create another one');
    end if;
    return v_dag_id;
end
$$;
comment on function leoflow_core.lock_backfill(bigint) is 'Locks an unfinished backfill.';

-- Completes the backfills among these that have no unfinished run any more. Of two runs that end at the same time the
-- second one sees the first, because both lock the backfill before they look.
-- Locks: the backfills' rows in key order. Callers: create_backfill, end_runs, stop_run, erase_runs, start_runs.
create or replace function leoflow_core.complete_backfills(p_backfill_keys bigint[]) returns void language plpgsql as $$
begin
    perform from leoflow_core.backfill as b
    where b.backfill_key = any(p_backfill_keys) and b.completed_at is null order by b.backfill_key for update;
    update leoflow_core.backfill as b set completed_at = clock_timestamp(), updated_at = clock_timestamp()
    where b.backfill_key = any(p_backfill_keys) and b.completed_at is null and not exists (
        select from leoflow_core.dag_run as r
        where r.backfill_key = b.backfill_key and r.state in ('queued', 'running')
    );
end
$$;
comment on function leoflow_core.complete_backfills(bigint[]) is 'Completes backfills that have no unfinished run any more.';
