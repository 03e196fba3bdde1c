-- Creates a run with all its task instances. It starts at once when p_run_after has come, its DAG is not paused and
-- max_active_runs leaves room; otherwise it is queued and `claim` or `promote_due` starts it later.
-- Raises LF404 (unknown DAG), LF409 (run id or logical date taken), LF422 (invalid).
-- Locks: a transaction-level advisory lock on the DAG, tried and never waited for. Safe inside the caller's own
-- transaction, also one that holds the DAG's row. After the commit call wake_workers().
-- Callers: scheduler, API, trigger_dag.
create or replace function leoflow_core.create_run(
    p_dag_id text,
    p_run_id text default null,
    p_run_type text default 'manual',
    p_logical_date timestamptz default null,
    p_data_interval_start timestamptz default null,
    p_data_interval_end timestamptz default null,
    p_run_after timestamptz default null,
    p_conf jsonb default null,
    p_triggered_by text default null,
    p_user text default null,
    p_note text default null,
    p_version_key bigint default null,
    p_partition_key text default null,
    p_partition_date timestamptz default null,
    out run_key bigint,
    out run_id text
) language plpgsql as $$
#variable_conflict use_variable
declare
    v_now timestamptz := clock_timestamp();
    v_dag leoflow_core.dag;
    v_version leoflow_core.dag_version;
    v_run_after timestamptz := coalesce(p_run_after, case when p_run_type = 'scheduled' then p_logical_date end, v_now);
    v_starts boolean;
    v_undecided boolean := false;
    v_constraint text;
    v_jitter text;
begin
    select d.* into v_dag from leoflow_core.dag as d where d.dag_id = p_dag_id;
    if not found or v_dag.current_version_key is null then
        perform leoflow_core.reject('LF404', format('The DAG with dag_id: `%s` was not found', p_dag_id),
            'list the DAGs with `leoflow dags list`');
    end if;
    if v_dag.is_stale then
        perform leoflow_core.reject('LF404', format('The DAG with dag_id: `%s` is no longer in the workspace', p_dag_id),
            'register it again before triggering it');
    end if;
    if p_conf is not null and jsonb_typeof(p_conf) <> 'object' then
        perform leoflow_core.reject('LF422', 'conf must be a JSON object', 'for example {"name": "value"}');
    end if;
    perform leoflow_core.validate_run(
        p_conf, p_partition_key, p_logical_date, p_data_interval_start, p_data_interval_end, p_run_after, p_partition_date
    );
    if not (p_run_type = any(enum_range(null::leoflow.dag_run_type)::text[])) then
        perform leoflow_core.reject('LF422', format('unknown run type: %s', p_run_type),
            format('one of %s', array_to_string(enum_range(null::leoflow.dag_run_type), ', ')));
    end if;
    -- as in Airflow, asset events start runs whatever is allowed
    if p_run_type <> 'asset_triggered' and not (p_run_type = any(v_dag.allowed_run_types)) then
        perform leoflow_core.reject('LF422', format('DAG %s does not allow %s runs', p_dag_id, p_run_type),
            format('it allows %s (allowed_run_types)', array_to_string(v_dag.allowed_run_types, ', ')));
    end if;
    run_id := coalesce(p_run_id, p_run_type || '__' || leoflow_core.isoformat(v_run_after)
        || leoflow_core.partition_suffix(v_dag.schedule, p_run_type, p_partition_key));
    if run_id = '' or length(run_id) > 250 then
        perform leoflow_core.reject('LF422', 'run_id must have 1 to 250 characters', 'leave it out to get a generated one');
    end if;
    select v.* into strict v_version from leoflow_core.dag_version as v
    where v.version_key = coalesce(p_version_key, v_dag.current_version_key) and v.dag_key = v_dag.dag_key;

    v_starts := not v_dag.is_paused and v_run_after <= clock_timestamp()
        and pg_try_advisory_xact_lock(leoflow_core.lock_class('start_runs'), v_dag.dag_key)
        and not exists (
            select from leoflow_core.dag_run as r
            where r.dag_key = v_dag.dag_key and r.state = 'queued' and r.backfill_key is null and r.run_after <= v_now
        )
        and (
            select count(*) from (
                select from leoflow_core.dag_run as r
                where r.dag_key = v_dag.dag_key and r.state = 'running' and r.backfill_key is null
                limit v_dag.max_active_runs
            ) as active
        ) < v_dag.max_active_runs;
    run_key := leoflow_core.next_run_key();

    begin
        insert into leoflow_core.dag_run (
            run_key, dag_key, version_key, run_id, run_type, state, remaining, open_slots, instance_count, is_gated,
            logical_date, data_interval_start, data_interval_end, run_after, queued_at, start_date, end_date, conf,
            triggered_by, triggering_user_name, partition_key, partition_date, note, note_user, note_at
        ) values (
            run_key, v_dag.dag_key, v_version.version_key, run_id, p_run_type::leoflow.dag_run_type,
            (case when v_starts and v_version.task_count = 0 then 'success' when v_starts then 'running' else 'queued' end)::leoflow.dag_run_state,
            v_version.counted_count, v_version.end_slots, v_version.instance_count,
            v_version.expands or v_version.instance_count > v_version.max_active_tasks,
            p_logical_date, coalesce(p_data_interval_start, p_logical_date), coalesce(p_data_interval_end, p_data_interval_start, p_logical_date),
            v_run_after, v_now, case when v_starts then v_now end,
            case when v_starts and v_version.task_count = 0 then v_now end, coalesce(p_conf, '{}'),
            p_triggered_by, p_user, p_partition_key, p_partition_date, p_note, case when p_note is not null then p_user end,
            case when p_note is not null then v_now end
        );
    exception when unique_violation then
        get stacked diagnostics v_constraint = constraint_name;
        if v_constraint like '%logical_date%' then
            perform leoflow_core.reject('LF409',
                format('DAG %s already has a run with logical date %s', p_dag_id, leoflow_core.isoformat(p_logical_date)),
                'choose another logical date, or clear the existing run');
        end if;
        perform leoflow_core.reject('LF409', format('DAG %s already has a run with id %s', p_dag_id, run_id),
            'choose another run id, or leave it out');
    end;

    perform leoflow_core.insert_instances(array[run_key]);
    if v_version.has_slotted then
        perform leoflow_core.open_join_counters(array[run_key]);
    end if;
    if v_version.has_dates then
        v_undecided := leoflow_core.leave_out_tasks(run_key);
        if v_undecided then
            perform leoflow_core.recount_run(run_key);
        end if;
    end if;
    if v_starts and (v_undecided or v_version.expands_at_start) then -- tasks left out, maps over nothing
        perform leoflow_core.evaluate_run(run_key);
        perform leoflow_core.end_run_if_done(run_key);
    end if;
    if v_version.has_callbacks then
        perform leoflow_core.prepare_callbacks(run_key);
    end if;
end
$$;
comment on function leoflow_core.create_run(
    text, text, text, timestamptz, timestamptz, timestamptz, timestamptz, jsonb, text, text, text, bigint, text,
    timestamptz
) is 'Creates a run with all its task instances; starts it if its DAG''s limits allow.';
