-- Deletes a run with everything it left. Its running attempts are told to stop.
-- Raises LF404. Locks: as lock_run. Callers: operators, API, CLI.
create or replace function leoflow.delete_run(p_dag_id text, p_run_id text, p_user text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run bigint;
begin
    select r.run_key into v_run from leoflow_core.dag_run as r
    join leoflow_core.dag as d on d.dag_key = r.dag_key
    where d.dag_id = p_dag_id and r.run_id = p_run_id;
    if not found then
        perform leoflow_core.reject('LF404',
            format('The DagRun with dag_id: `%s` and run_id: `%s` was not found', p_dag_id, p_run_id), null);
    end if;
    perform leoflow_core.erase_runs(array[v_run]);
    perform leoflow_core.write_audit('delete_dag_run', p_user, p_dag_id, p_run_id => p_run_id);
end
$$;
comment on function leoflow.delete_run(text, text, text) is 'Deletes a run with everything it left.';

-- Erases runs and their rows everywhere. Locks: as lock_run, run by run in key order.
-- Callers: delete_run, delete_dag, retain.
create or replace function leoflow_core.erase_runs(p_run_keys bigint[]) returns void language plpgsql as $$
declare
    v_backfills bigint[];
begin
    perform leoflow_core.lock_run(r.run_key) from (
        select r.run_key from leoflow_core.dag_run as r
        where r.run_key = any(p_run_keys) and r.archived_at is null order by r.run_key
    ) as r;
    perform from leoflow_core.dag_run as r where r.run_key = any(p_run_keys) order by r.run_key for update;
    select array_agg(distinct r.backfill_key) into v_backfills from leoflow_core.dag_run as r
    where r.run_key = any(p_run_keys) and r.backfill_key is not null;
    delete from leoflow_core.gate_token as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.join_counter as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.map_fan as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.deadline as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.outbox as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.xcom as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.task_log as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.task_attempt_history as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.task_instance_extra as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.trigger as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.hitl_detail as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.task_instance as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.task_instance_extra_history as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.task_instance_history as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.dag_run_asset_event as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.asset_partition_run as x where x.run_key = any(p_run_keys);
    delete from leoflow_core.dag_run as x where x.run_key = any(p_run_keys);
    if v_backfills is not null then
        perform leoflow_core.complete_backfills(v_backfills);
    end if;
end
$$;
comment on function leoflow_core.erase_runs(bigint[]) is 'Erases runs and their rows everywhere.';

-- Deletes a DAG with its versions and runs; it comes back when its project is registered again.
-- Raises LF404, LF409 while an attempt runs. Locks: the DAG's row, all its runs as lock_run.
-- Callers: operators, API, CLI.
create or replace function leoflow.delete_dag(p_dag_id text, p_user text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_dag_key int;
begin
    select d.dag_key into v_dag_key from leoflow_core.dag as d where d.dag_id = p_dag_id for update;
    if not found then
        perform leoflow_core.reject('LF404', format('The DAG with dag_id: `%s` was not found', p_dag_id),
            'list the DAGs with `leoflow dags list`');
    end if;
    if exists (
        select from leoflow_core.dag_run as r
        join leoflow_core.task_instance as t on t.run_key = r.run_key
        where r.dag_key = v_dag_key and r.state = 'running' and t.state in ('running', 'queued', 'restarting')
    ) then
        perform leoflow_core.reject('LF409', format('Task instances of dag with id: ''%s'' are still running', p_dag_id),
            'wait for its runs or cancel them');
    end if;
    perform leoflow_core.erase_runs(array(
        select r.run_key from leoflow_core.dag_run as r where r.dag_key = v_dag_key order by r.run_key
    ));
    perform leoflow_core.erase_versions(array(
        select v.version_key from leoflow_core.dag_version as v where v.dag_key = v_dag_key
    ));
    delete from leoflow_core.dag as d where d.dag_key = v_dag_key;
    perform leoflow_core.refresh_active_assets();
    perform leoflow_core.write_audit('delete_dag', p_user, p_dag_id);
end
$$;
comment on function leoflow.delete_dag(text, text) is 'Deletes a DAG with its versions and runs.';

-- Erases versions that no run refers to any more. Locks: none beyond the rows. Callers: delete_dag.
create or replace function leoflow_core.erase_versions(p_version_keys bigint[]) returns void language plpgsql as $$
begin
    delete from leoflow_core.reduce_input as x where x.version_key = any(p_version_keys);
    delete from leoflow_core.task_edge as x where x.version_key = any(p_version_keys);
    delete from leoflow_core.task_group as x where x.version_key = any(p_version_keys);
    delete from leoflow_core.join_slot as x where x.version_key = any(p_version_keys);
    delete from leoflow_core.task as x where x.version_key = any(p_version_keys);
    delete from leoflow_core.dag_version as x where x.version_key = any(p_version_keys);
end
$$;
comment on function leoflow_core.erase_versions(bigint[]) is 'Erases versions that no run refers to any more.';
