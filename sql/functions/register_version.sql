-- Registers a compiled DAG. Content that is known already adds nothing: it becomes current (again) and last_parsed_at
-- moves. Clears the DAG's import error and is_stale. Raises LF422 with a hint for a spec the engine cannot run.
-- Sends `notify leoflow_schedule` when the schedule must be computed anew.
-- Locks: the DAG's row, then as register_assets. Callers: compiler/watcher, API, CLI.
create or replace function leoflow_core.register_version(
    p_spec jsonb,
    p_content_hash text default null,
    p_source_code text default null,
    p_bundle_path text default null,
    p_environment_key text default null,
    p_project_path text default null,
    p_fileloc text default null,
    p_relative_fileloc text default null,
    p_parse_seconds float8 default null,
    p_bundle_name text default 'dags',
    p_is_paused_upon_creation boolean default null
) returns table (dag_key int, version_key bigint, version_number int, is_new boolean)
language plpgsql as $$
#variable_conflict use_column
declare
    v_hash text := coalesce(p_content_hash, p_spec ->> 'content_hash', encode(sha256(convert_to(p_spec::text, 'UTF8')), 'hex'));
    v_relative text := coalesce(p_relative_fileloc, p_spec -> 'source' ->> 'path', 'dag.py');
    v_dag leoflow_core.dag;
    v_version leoflow_core.dag_version;
    v_reschedule boolean;
    v_new boolean := false;
begin
    perform leoflow_core.validate_spec(p_spec);
    insert into leoflow_core.dag as d (dag_id, is_paused)
    values (p_spec ->> 'dag_id', coalesce((p_spec ->> 'is_paused_upon_creation')::boolean, p_is_paused_upon_creation, true))
    on conflict (dag_id) do update set dag_id = excluded.dag_id
    returning d.* into v_dag;

    select v.* into v_version from leoflow_core.dag_version as v
    where v.dag_key = v_dag.dag_key and v.content_hash = v_hash order by v.version_number desc limit 1;
    if not found then
        v_new := true;
        insert into leoflow_core.dag_version as v (
            dag_key, version_number, version_id, dag_version, content_hash, spec, source_code, bundle_path,
            environment_key, relative_fileloc, image, task_count, max_active_tasks, fail_fast, has_slotted, has_callbacks
        )
        select
            v_dag.dag_key,
            coalesce((select max(o.version_number) from leoflow_core.dag_version as o where o.dag_key = v_dag.dag_key), 0) + 1,
            leoflow_core.uuid7(), p_spec ->> 'dag_version', v_hash, p_spec,
            coalesce(p_source_code, p_spec -> 'source' ->> 'code'), p_bundle_path, p_environment_key, v_relative,
            p_spec ->> 'image', jsonb_array_length(p_spec -> 'tasks'), coalesce((p_spec ->> 'max_active_tasks')::int, 16),
            coalesce((p_spec ->> 'fail_fast')::boolean, false), false, leoflow_core.has_callbacks(p_spec)
        returning v.* into v_version;
        perform leoflow_core.register_tasks(v_version.version_key, p_spec);
        perform leoflow_core.total_version(v_version.version_key);
    else
        update leoflow_core.dag_version as v set
            bundle_path = coalesce(p_bundle_path, v.bundle_path),
            environment_key = coalesce(p_environment_key, v.environment_key),
            source_code = coalesce(p_source_code, v.source_code)
        where v.version_key = v_version.version_key
            and (v.bundle_path, v.environment_key, v.source_code) is distinct from (
                coalesce(p_bundle_path, v.bundle_path), coalesce(p_environment_key, v.environment_key),
                coalesce(p_source_code, v.source_code)
            );
    end if;
    perform leoflow_core.register_bands(v_version.version_key);

    v_reschedule := v_dag.is_stale or v_dag.current_version_key is null
        or (leoflow_core.is_custom(p_spec -> 'schedule') and v_dag.current_version_key <> v_version.version_key)
        or (v_dag.schedule, v_dag.start_date, v_dag.end_date, v_dag.catchup, v_dag.timezone) is distinct from (
            nullif(p_spec -> 'schedule', 'null'), (p_spec ->> 'start_date')::timestamptz,
            (p_spec ->> 'end_date')::timestamptz, coalesce((p_spec ->> 'catchup')::boolean, false),
            coalesce(p_spec ->> 'timezone', 'UTC')
        );
    update leoflow_core.dag as d set
        current_version_key = v_version.version_key,
        display_name = coalesce(p_spec ->> 'dag_display_name', d.dag_id),
        description = p_spec ->> 'description',
        doc_md = p_spec ->> 'doc_md',
        fileloc = coalesce(p_fileloc, d.fileloc),
        relative_fileloc = v_relative,
        project_path = coalesce(p_project_path, d.project_path),
        bundle_name = coalesce(p_bundle_name, d.bundle_name),
        owners = array(select jsonb_array_elements_text(coalesce(nullif(p_spec -> 'owners', 'null'), '[]'))),
        owner_links = coalesce(nullif(p_spec -> 'owner_links', 'null'), '{}'),
        tags = array(select jsonb_array_elements_text(coalesce(nullif(p_spec -> 'tags', 'null'), '[]'))),
        schedule = nullif(p_spec -> 'schedule', 'null'),
        timetable_summary = p_spec ->> 'timetable_summary',
        timetable_description = p_spec ->> 'timetable_description',
        timezone = coalesce(p_spec ->> 'timezone', 'UTC'),
        start_date = (p_spec ->> 'start_date')::timestamptz,
        end_date = (p_spec ->> 'end_date')::timestamptz,
        catchup = coalesce((p_spec ->> 'catchup')::boolean, false),
        max_active_runs = coalesce((p_spec ->> 'max_active_runs')::int, 16),
        max_active_tasks = coalesce((p_spec ->> 'max_active_tasks')::int, 16),
        max_consecutive_failed_dag_runs = coalesce((p_spec ->> 'max_consecutive_failed_dag_runs')::int, 0),
        dagrun_timeout_seconds = (p_spec ->> 'dagrun_timeout_seconds')::float8,
        fail_fast = coalesce((p_spec ->> 'fail_fast')::boolean, false),
        allowed_run_types = case when jsonb_typeof(p_spec -> 'allowed_run_types') = 'array'
            then array(select jsonb_array_elements_text(p_spec -> 'allowed_run_types')) end,
        is_stale = false,
        has_import_errors = false,
        schedule_pending = d.schedule_pending or v_reschedule,
        schedule_error = case when not v_reschedule then d.schedule_error end,
        plan_after = case when not v_reschedule then d.plan_after end,
        last_parsed_at = clock_timestamp(),
        last_parse_seconds = coalesce(p_parse_seconds, d.last_parse_seconds)
    where d.dag_key = v_dag.dag_key;
    perform leoflow_core.register_assets(v_dag.dag_key, p_spec);
    if p_fileloc is not null then
        delete from leoflow_core.import_error as i where i.filename = p_fileloc;
    end if;
    if v_reschedule then
        notify leoflow_schedule;
    end if;
    return query select v_dag.dag_key, v_version.version_key, v_version.version_number, v_new;
end
$$;
comment on function leoflow_core.register_version(
    jsonb, text, text, text, text, text, text, text, float8, text, boolean
) is 'Registers a compiled DAG as a new version, or makes a known one current.';
