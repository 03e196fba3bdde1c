-- What would become of each date of a backfill: the run that exists already, and why no run would be made
-- (Airflow, models/backfill.py: in flight, already exists); a null reason means that one is made or run again.
-- p_logical_dates: oldest first; the rows come in the order the runs are to start. p_partition_keys: parallel, of a
-- schedule of partitions, whose dates are the moments from which the runs may start; a partition is made anew and no run
-- of it run again, and of several dates with one partition only the first counts.
-- Locks: none. Callers: create_backfill, API (dry run).
create or replace function leoflow_core.plan_backfill(
    p_dag_key int, p_logical_dates timestamptz[], p_reprocess text, p_backwards boolean, p_partition_keys text[] default null
) returns table (
    sort_ordinal int, place int, logical_date timestamptz, run_key bigint, exception_reason text, partition_key text
) language sql stable as $$
    select
        o.sort_ordinal, d.place::int, case when d.partition_key is null then d.logical_date end,
        case when d.partition_key is null then r.run_key end,
        case
            when r.state not in ('success', 'failed') then 'in flight'
            when r.run_key is not null and (p_reprocess = 'none' or (p_reprocess = 'failed' and r.state <> 'failed'))
                then 'already exists'
            when row_number() over (partition by coalesce(d.partition_key, d.place::text) order by o.sort_ordinal) > 1
                then 'in flight'
        end,
        d.partition_key
    from unnest(p_logical_dates, p_partition_keys) with ordinality as d(logical_date, partition_key, place)
    cross join lateral (
        select (case when p_backwards then cardinality(p_logical_dates) + 1 - d.place else d.place end)::int as sort_ordinal
    ) as o
    left join lateral (
        select r.run_key, r.state from leoflow_core.dag_run as r
        where d.partition_key is null and r.dag_key = p_dag_key and r.logical_date = d.logical_date
        union all
        (
            select r.run_key, r.state from leoflow_core.dag_run as r
            where r.dag_key = p_dag_key and r.partition_key = d.partition_key
            order by r.start_date desc nulls first, r.run_key desc limit 1
        )
    ) as r on true
    order by 1
$$;
comment on function leoflow_core.plan_backfill(int, timestamptz[], text, boolean, text[]) is
'What would become of each date of a backfill.';

-- Refuses a backfill that cannot be: no schedule, only future dates, depends_on_past against its order or without
-- reprocessing, no limit, too many runs (settings max_backfill_runs, max_backfill_instances). Returns the DAG's key.
-- p_count: how many dates there are, null while they are not known yet.
-- Raises LF404, LF422.
-- Locks: none. Callers: create_backfill, API (dry run).
create or replace function leoflow_core.check_backfill(
    p_dag_id text, p_from timestamptz, p_to timestamptz, p_reprocess text, p_backwards boolean, p_max_active_runs int,
    p_count int default null
) returns int language plpgsql stable as $$
declare
    v_dag leoflow_core.dag;
    v_tasks int;
    v_limit bigint := leoflow_core.setting('max_backfill_runs');
begin
    select d.* into v_dag from leoflow_core.dag as d where d.dag_id = p_dag_id;
    if not found or v_dag.current_version_key is null or v_dag.is_stale then
        perform leoflow_core.reject('LF404', format('Could not find dag %s', p_dag_id), 'list the DAGs with `leoflow dags list`');
    end if;
    if v_dag.schedule is null then
        perform leoflow_core.reject('LF422', format('%s has no schedule', p_dag_id),
            'trigger a run for each date, or give the DAG a schedule');
    end if;
    if p_reprocess is null or p_reprocess not in ('none', 'failed', 'completed') then
        perform leoflow_core.reject('LF422', format('reprocess_behavior cannot be %s', p_reprocess), 'none, failed or completed');
    end if;
    if p_max_active_runs is null or p_max_active_runs < 1 then
        perform leoflow_core.reject('LF422', 'max_active_runs must be at least 1', 'how many runs of the backfill may run at once');
    end if;
    if p_from is null or p_to is null or p_from > p_to then
        perform leoflow_core.reject('LF422', 'from_date must not be after to_date', 'exchange the two');
    end if;
    if p_from >= clock_timestamp() then
        perform leoflow_core.reject('LF422', 'Backfill cannot be executed for future dates.', 'choose an earlier from_date');
    end if;
    if exists (
        select from leoflow_core.task as t where t.version_key = v_dag.current_version_key and t.depends_on_past
    ) then
        if p_backwards then
            perform leoflow_core.reject('LF422',
                'Backfill cannot be run in reverse when the Dag has tasks where depends_on_past=True.', 'leave out run_backwards');
        elsif p_reprocess = 'none' then
            perform leoflow_core.reject('LF422', 'Dag has tasks for which depends_on_past=True. '
                || 'You must set reprocess behavior to reprocess completed or reprocess failed.',
                'reprocess_behavior failed or completed');
        end if;
    end if;
    if p_count = 0 then
        perform leoflow_core.reject('LF422', format('No runs to create for Dag %s', p_dag_id),
            'no finished interval of its schedule lies between from_date and to_date');
    end if;
    if p_count > v_limit then
        perform leoflow_core.reject('LF422', format('a backfill may have at most %s runs', v_limit),
            'choose a shorter range of dates, one after the other');
    end if;
    select coalesce(sum(coalesce(t.map_length, 1)), 0) into v_tasks from leoflow_core.task as t
    where t.version_key = v_dag.current_version_key;
    if p_count::bigint * v_tasks > leoflow_core.setting('max_backfill_instances') then
        perform leoflow_core.reject('LF422',
            format('%s runs of %s tasks are more than the %s task instances one backfill may make',
                p_count, v_tasks, leoflow_core.setting('max_backfill_instances')),
            'choose a shorter range of dates, one after the other');
    end if;
    return v_dag.dag_key;
end
$$;
comment on function leoflow_core.check_backfill(text, timestamptz, timestamptz, text, boolean, int, int) is
'Refuses a backfill that cannot be.';
