-- Pauses or unpauses a DAG. While paused its runs do not start, and what is ready in its running runs is not claimed;
-- running attempts go on. Workers are woken at commit of an unpausing.
-- Locks: the DAG's row, then the scheduled instances of its running runs in key order; as refresh_watchers.
-- Callers: operators, API, CLI.
create or replace function leoflow.set_paused(p_dag_id text, p_is_paused boolean, p_user text default null)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_dag_key int;
    v_was_paused boolean;
begin
    if p_is_paused is null then
        perform leoflow_core.reject('LF422', 'p_is_paused must be true or false', 'true stops new work, false lets it go on');
    end if;
    select d.dag_key, d.is_paused into v_dag_key, v_was_paused from leoflow_core.dag as d
    where d.dag_id = p_dag_id for no key update;
    if not found then
        perform leoflow_core.reject('LF404', format('The DAG with dag_id: `%s` was not found', p_dag_id),
            'list the DAGs with `leoflow dags list`');
    end if;
    if v_was_paused = p_is_paused then
        return;
    end if;
    update leoflow_core.dag as d set is_paused = p_is_paused, schedule_pending = d.schedule_pending or not p_is_paused
    where d.dag_key = v_dag_key;
    if not p_is_paused then
        perform leoflow_core.release_held(v_dag_key);
    end if;
    perform leoflow_core.refresh_watchers();
    perform leoflow_core.write_audit(case when p_is_paused then 'paused' else 'unpaused' end, p_user, p_dag_id);
    notify leoflow_schedule;
    if not p_is_paused then
        perform leoflow_core.wake_workers();
    end if;
end
$$;
comment on function leoflow.set_paused(text, boolean, text) is 'Pauses or unpauses a DAG.';

-- Makes scheduled instances claimable again that claims put aside while their DAG was paused.
-- Locks: those instances in key order. Callers: set_paused.
create or replace function leoflow_core.release_held(p_dag_key int) returns int language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_nestloop = on
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
    v_released int;
begin
    with held as materialized (
        select t.run_key, t.task_idx, t.map_index
        from leoflow_core.dag_run as r
        join leoflow_core.task_instance as t on t.run_key = r.run_key
        where r.dag_key = p_dag_key and r.state = 'running' and t.state = 'scheduled' and t.ready_key is null
            and t.gate_key is null
        order by t.run_key, t.task_idx, t.map_index
        for update of t
    ),
    released as (
        update leoflow_core.task_instance as t set
            ready_key = case when not t.is_gated then -t.priority end,
            gate_key = case when t.is_gated then -t.priority end
        from held as h
        where t.run_key = h.run_key and t.task_idx = h.task_idx and t.map_index = h.map_index
        returning 1
    )
    select count(*) into v_released from released;
    return v_released;
end
$$;
comment on function leoflow_core.release_held(int) is 'Makes instances claimable again that were put aside.';

-- After a claim put instances of paused DAGs aside: gives them back if the DAG was unpaused meanwhile. Whoever of
-- set_paused and this function comes second sees what the first did, because both lock the DAG's row.
-- Locks: the DAGs' rows, shared; as release_held. Callers: claim, admit.
create or replace function leoflow_core.recheck_held(p_run_keys bigint[]) returns void language plpgsql as $$
declare
    v_dag_key int;
begin
    for v_dag_key in
        select d.dag_key from leoflow_core.dag as d
        where d.dag_key in (select r.dag_key from leoflow_core.dag_run as r where r.run_key = any(p_run_keys))
        order by d.dag_key
        for share
    loop
        perform leoflow_core.release_held(d.dag_key) from leoflow_core.dag as d
        where d.dag_key = v_dag_key and not d.is_paused;
    end loop;
end
$$;
comment on function leoflow_core.recheck_held(bigint[]) is 'Gives instances back whose DAG was unpaused meanwhile.';
