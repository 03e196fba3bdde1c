-- Makes new settings of a pool hold for the instances there are; call it in the transaction that wrote them. Where a
-- pool without a limit got one, its instances become subject to it, and those that run take slots. Where it got fewer
-- slots than are in use, nothing is handed over in it until admit finds it within them again. Workers are woken at commit.
-- Locks: the pool's unfinished instances in key order, then the admission lock. Callers: API, claim.
create or replace function leoflow_core.pool_changed(p_name text) returns void language plpgsql
set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_pool leoflow_core.pool;
begin
    select p.* into v_pool from leoflow_core.pool as p where p.name = p_name;
    if not found then
        return;
    end if;
    if v_pool.slots >= 0 then
        with ungated as materialized (
            select t.run_key, t.task_idx, t.map_index
            from leoflow_core.dag_run as r
            join leoflow_core.task_instance as t on t.run_key = r.run_key
            where r.state in ('queued', 'running') and t.pool_key = v_pool.pool_key and not t.is_gated
            order by t.run_key, t.task_idx, t.map_index
            for update of t
        ),
        gated as (
            update leoflow_core.task_instance as t set
                is_gated = true, gate_key = coalesce(t.gate_key, t.ready_key), ready_key = null
            from ungated as u
            where t.run_key = u.run_key and t.task_idx = u.task_idx and t.map_index = u.map_index
            returning t.run_key, t.task_idx, t.map_index, t.pool_slots, t.state
        )
        insert into leoflow_core.gate_token (run_key, task_idx, map_index, pool_key, pool_slots)
        select g.run_key, g.task_idx, g.map_index, v_pool.pool_key, g.pool_slots from gated as g
        where g.state in ('running', 'queued', 'restarting')
        on conflict (run_key, task_idx, map_index) do nothing;
    end if;
    perform pg_advisory_xact_lock(leoflow_core.lock_class('admit'), 0);
    update leoflow_core.pool as p set is_overdrawn = leoflow_core.free_slots(p.pool_key) < 0
    where p.pool_key = v_pool.pool_key;
    perform leoflow_core.wake_workers();
end
$$;
comment on function leoflow_core.pool_changed(text) is
'Makes new settings of a pool hold for the instances there are.';

-- Deletes a pool. What tasks name is kept without slots, so that they wait as under Airflow until somebody creates it
-- again. False: there is no such pool.
-- Locks: as pool_changed. Callers: API.
create or replace function leoflow_core.delete_pool(p_name text) returns boolean language plpgsql as $$
begin
    delete from leoflow_core.pool as p
    where p.name = p_name and not p.is_implied
        and not exists (select from leoflow_core.task as t where t.pool_key = p.pool_key);
    if found then
        return true;
    end if;
    update leoflow_core.pool as p set
        slots = 0, description = null, include_deferred = false, is_implied = true
    where p.name = p_name and not p.is_implied;
    if not found then
        return false;
    end if;
    perform leoflow_core.pool_changed(p_name);
    return true;
end
$$;
comment on function leoflow_core.delete_pool(text) is 'Deletes a pool; tasks that name it wait.';
