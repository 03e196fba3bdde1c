-- Moves a run to its DAG's latest version (Airflow, run_on_latest_version): tasks it does not have yet get instances,
-- those of tasks that no longer exist are removed and those of tasks that exist again come back; what is finished and not
-- among p_cleared keeps saying which version it ran. What is to run of a task that is no longer mapped is one instance
-- again; of one that is mapped now, or over other literals, expand_task makes as many as there are values.
-- The caller recounts the run afterwards. Returns whether it moved.
-- Locks: the caller holds the run and its instances. Callers: clear_run_tasks, add_new_tasks.
create or replace function leoflow_core.move_run(p_run_key bigint, p_cleared leoflow_core.instance_ref[] default '{}')
returns boolean language plpgsql
set jit = off set plan_cache_mode = auto
as $$
#variable_conflict use_column
declare
    v_version leoflow_core.dag_version;
    v_before bigint;
    v_gone leoflow_core.instance_ref[];
    v_gated boolean;
begin
    select r.version_key into v_before from leoflow_core.dag_run as r where r.run_key = p_run_key;
    select v.* into v_version
    from leoflow_core.dag_run as r
    join leoflow_core.dag as d on d.dag_key = r.dag_key
    join leoflow_core.dag_version as v on v.version_key = d.current_version_key
    where r.run_key = p_run_key and r.version_key <> v.version_key;
    if not found then
        return false;
    end if;
    v_gated := leoflow_core.is_gated_version(v_version.version_key);
    select array_agg((t.run_key, t.task_idx, t.map_index)::leoflow_core.instance_ref) into v_gone
    from leoflow_core.task_instance as t
    left join leoflow_core.task as k on k.version_key = v_version.version_key and k.task_idx = t.task_idx
    where t.run_key = p_run_key and t.state is distinct from 'removed' and (
        k.task_idx is null
        or k.map_inputs is null and t.map_index >= 0 and not exists (
            select from leoflow_core.task_instance as o
            where o.run_key = p_run_key and o.task_idx = t.task_idx and leoflow_core.is_final(o.state)
                and o.state <> 'removed' and not exists (
                    select from unnest(p_cleared) as c where c.task_idx = o.task_idx and c.map_index = o.map_index
                )
        )
    );
    if v_gone is not null then
        delete from leoflow_core.gate_token as g using unnest(v_gone) as i
        where g.run_key = i.run_key and g.task_idx = i.task_idx and g.map_index = i.map_index;
        update leoflow_core.task_instance as t set
            state = 'removed', ready_key = null, gate_key = null, due_at = null, is_leaf = false, has_downstream = false,
            feeds_slots = false, attempt_id = case when leoflow_core.is_final(t.state) then t.attempt_id end,
            start_date = coalesce(t.start_date, clock_timestamp()), end_date = coalesce(t.end_date, clock_timestamp())
        from unnest(v_gone) as i
        where t.run_key = i.run_key and t.task_idx = i.task_idx and t.map_index = i.map_index;
    end if;
    update leoflow_core.task_instance as t set
        version_key = case when leoflow_core.is_final(t.state) and not x.is_cleared then t.version_key else k.version_key end,
        trigger_rule = k.trigger_rule, is_leaf = k.is_leaf, feeds_slots = k.feeds_slots,
        has_downstream = k.has_downstream,
        priority = case when x.is_active then t.priority else k.priority end,
        queue_key = case when x.is_active then t.queue_key else k.queue_key end,
        pool_key = case when x.is_active then t.pool_key else k.pool_key end,
        pool_slots = case when x.is_active then t.pool_slots else k.pool_slots end,
        is_gated = case when x.is_active then t.is_gated else
            v_gated or p.slots >= 0 or k.max_active_tis_per_dag is not null
            or k.max_active_tis_per_dagrun is not null or k.depends_on_past or k.wait_for_downstream end,
        max_tries = case when x.is_back then t.try_number + k.retries
            when t.state is null and t.try_number = 0 then k.retries else t.max_tries end,
        expands = case when t.state is null and t.map_index = -1 then k.expands else t.expands end,
        -- a scheduled one is decided anew, with the edges of the new version
        state = case when t.state = 'scheduled' or x.is_back then null else t.state end,
        end_date = case when not x.is_back then t.end_date end,
        ready_key = null, gate_key = null
    from leoflow_core.task_instance as y
    join leoflow_core.task as k on k.version_key = v_version.version_key and k.task_idx = y.task_idx
    join leoflow_core.pool as p on p.pool_key = k.pool_key
    cross join lateral (
        select
            y.state is not null and y.state in ('running', 'queued', 'restarting') as is_active,
            exists (
                select from unnest(p_cleared) as c where c.task_idx = y.task_idx and c.map_index = y.map_index
            ) as is_cleared,
            y.state = 'removed' and not exists (
                select from leoflow_core.task as had where had.version_key = v_before and had.task_idx = y.task_idx
            ) as is_back
    ) as x
    where y.run_key = p_run_key
        and t.run_key = y.run_key and t.task_idx = y.task_idx and t.map_index = y.map_index;
    -- of tasks that are no longer mapped
    delete from leoflow_core.task_instance as t using leoflow_core.task as k
    where t.run_key = p_run_key and t.task_idx in (select i.task_idx from unnest(v_gone) as i)
        and k.version_key = v_version.version_key and k.task_idx = t.task_idx;
    perform leoflow_core.add_instances(array[p_run_key], v_version.version_key);
    update leoflow_core.dag_run as r set
        version_key = v_version.version_key,
        is_gated = v_gated,
        instance_count = (select count(*) from leoflow_core.task_instance as t where t.run_key = p_run_key)
    where r.run_key = p_run_key;
    return true;
end
$$;
comment on function leoflow_core.move_run(bigint, leoflow_core.instance_ref[]) is 'Moves a run to its DAG''s latest version.';

-- Has the undecided instances of tasks that are mapped over literals expanded where they are not what their version
-- says: the run was moved from another one. Locks: the caller holds the instances. Callers: clear_run_tasks,
-- add_new_tasks.
create or replace function leoflow_core.remap_instances(p_run_key bigint) returns void language sql as $$
    update leoflow_core.task_instance as t set expands = true
    from leoflow_core.task as k
    where t.run_key = p_run_key and t.state is null and not t.expands
        and k.version_key = t.version_key and k.task_idx = t.task_idx and k.map_length is not null
        and (
            t.map_index not between 0 and k.map_length - 1
            or k.map_length > (
                select count(*) from leoflow_core.task_instance as o
                where o.run_key = p_run_key and o.task_idx = t.task_idx
            )
        )
$$;
comment on function leoflow_core.remap_instances(bigint) is
'Has instances of tasks that are mapped over literals expanded where they are not what their version says.';

-- Gives a run the tasks of the latest version that it does not have, and starts it again for them (Airflow, only_new).
-- Returns the task ids concerned; with p_dry_run nothing changes.
-- Raises LF404.
-- Locks: the low watermark, the run as lock_run. Wake workers afterwards. Callers: API.
create or replace function leoflow_core.add_new_tasks(
    p_dag_id text, p_run_id text, p_dry_run boolean default false, p_user text default null
) returns table (task_id text, task_display_name text) language plpgsql as $$
#variable_conflict use_column
declare
    v_run leoflow_core.dag_run;
    v_new text[];
begin
    select r.* into v_run from leoflow_core.dag_run as r
    join leoflow_core.dag as d on d.dag_key = r.dag_key
    where d.dag_id = p_dag_id and r.run_id = p_run_id;
    if not found then
        perform leoflow_core.reject('LF404',
            format('The DagRun with dag_id: `%s` and run_id: `%s` was not found', p_dag_id, p_run_id), null);
    end if;
    select array_agg(k.task_id order by k.task_id) into v_new
    from leoflow_core.dag as d
    join leoflow_core.task as k on k.version_key = d.current_version_key
    where d.dag_key = v_run.dag_key and not exists (
        select from leoflow_core.all_task_instances as t
        join leoflow_core.task as had on had.version_key = t.version_key and had.task_idx = t.task_idx
        where t.run_key = v_run.run_key and had.task_id = k.task_id
    );
    if v_new is not null and not p_dry_run then
        perform leoflow_core.lower_watermark(v_run.run_key);
        perform leoflow_core.lock_run(v_run.run_key);
        perform leoflow_core.move_run(v_run.run_key);
        perform leoflow_core.remap_instances(v_run.run_key);
        perform leoflow_core.leave_out_tasks(v_run.run_key);
        perform leoflow_core.recount_run(v_run.run_key);
        perform leoflow_core.reopen_run(v_run.run_key, true);
        perform leoflow_core.write_audit('clear', p_user, p_dag_id, p_run_id => p_run_id,
            p_extra => jsonb_build_object('only_new', true, 'tasks', v_new));
    end if;
    return query
    select k.task_id, coalesce(k.display_name, k.task_id)
    from leoflow_core.dag as d
    join leoflow_core.task as k on k.version_key = d.current_version_key
    where d.dag_key = v_run.dag_key and k.task_id = any(v_new)
    order by k.task_id;
end
$$;
comment on function leoflow_core.add_new_tasks(text, text, boolean, text) is
'Gives a run the tasks of the latest version that it does not have.';
