-- Which instances an operator's action on a DAG concerns. p_tasks: JSON array of task ids or [task id, map index]
-- pairs, null for all. Upstream and downstream are transitive; past and future mean the DAG's runs with earlier or
-- later logical dates, both together all runs. p_run_id null: all runs in the date range (p_start, p_end inclusive).
-- p_on_schedule (marking, Airflow's get_run_ids): past and future reach only runs of the schedule, none if the DAG runs
-- once or by assets; without a schedule all runs with logical dates.
-- Locks: none. Callers: clear_tasks, mark_tasks.
create or replace function leoflow_core.select_tasks(
    p_dag_id text,
    p_run_id text,
    p_tasks jsonb,
    p_upstream boolean,
    p_downstream boolean,
    p_past boolean,
    p_future boolean,
    p_start timestamptz default null,
    p_end timestamptz default null,
    p_on_schedule boolean default false
) returns setof leoflow_core.instance_ref language plpgsql stable as $$
#variable_conflict use_column
declare
    v_dag_key int;
    v_run leoflow_core.dag_run;
    v_unknown text;
    v_schedule text;
begin
    select d.dag_key, coalesce(d.schedule ->> 'type', 'none') into v_dag_key, v_schedule from leoflow_core.dag as d
    where d.dag_id = p_dag_id;
    if not found then
        perform leoflow_core.reject('LF404', format('The DAG with dag_id: `%s` was not found', p_dag_id),
            'list the DAGs with `leoflow dags list`');
    end if;
    if p_run_id is not null then
        select r.* into v_run from leoflow_core.dag_run as r where r.dag_key = v_dag_key and r.run_id = p_run_id;
        if not found then
            perform leoflow_core.reject('LF404',
                format('The DagRun with dag_id: `%s` and run_id: `%s` was not found', p_dag_id, p_run_id), null);
        end if;
    end if;
    if p_tasks is not null and p_run_id is not null then
        select w.task_id into v_unknown
        from (
            select case jsonb_typeof(e.item) when 'array' then e.item ->> 0 else e.item #>> '{}' end as task_id
            from jsonb_array_elements(p_tasks) as e(item)
        ) as w
        where not exists (
            select from leoflow_core.task as k where k.version_key = v_run.version_key and k.task_id = w.task_id
        ) limit 1;
        if found then
            perform leoflow_core.reject('LF404', format('Task id %s not found in dag %s', v_unknown, p_dag_id), null);
        end if;
    end if;
    return query
    with recursive runs as materialized (
        select r.run_key, r.version_key from leoflow_core.dag_run as r
        where r.dag_key = v_dag_key and case
            when p_run_id is null then
                (p_start is null or r.logical_date >= p_start) and (p_end is null or r.logical_date <= p_end)
            else r.run_key = v_run.run_key
                or (p_past and p_future and not p_on_schedule)
                or (
                    ((p_past and r.logical_date < v_run.logical_date) or (p_future and r.logical_date > v_run.logical_date))
                    and case
                        when not p_on_schedule or v_schedule = 'none' then true
                        when v_schedule in ('once', 'continuous', 'assets') then false
                        else r.run_type <> 'manual' end
                )
            end
    ),
    wanted as materialized (
        select
            case jsonb_typeof(e.item) when 'array' then e.item ->> 0 else e.item #>> '{}' end as task_id,
            case jsonb_typeof(e.item) when 'array' then (e.item ->> 1)::int end as map_index
        from jsonb_array_elements(p_tasks) as e(item)
    ),
    versions as materialized (select distinct r.version_key from runs as r),
    named as materialized (
        select k.version_key, k.task_idx, w.map_index
        from versions as v
        join leoflow_core.task as k on k.version_key = v.version_key
        join wanted as w on w.task_id = k.task_id
    ),
    above as (
        select n.version_key, n.task_idx from named as n where p_upstream
        union
        select a.version_key, e.upstream_idx
        from above as a
        join leoflow_core.task_edge as e
            on e.version_key = a.version_key and e.downstream_idx = a.task_idx and e.kind = 'd'
    ),
    below as (
        (select n.version_key, n.task_idx from named as n where p_downstream
        union
        -- clearing both ways in a run goes down from what it found above too, as in Airflow
        select a.version_key, a.task_idx from above as a where p_downstream and p_run_id is not null and not p_on_schedule)
        union
        select b.version_key, e.downstream_idx
        from below as b
        join leoflow_core.task_edge as e
            on e.version_key = b.version_key and e.upstream_idx = b.task_idx and e.kind = 'd'
    ),
    chosen as materialized (
        select n.version_key, n.task_idx, n.map_index from named as n
        union all
        select r.version_key, r.task_idx, null
        from (select * from above union select * from below) as r
        where not exists (
            select from named as n where n.version_key = r.version_key and n.task_idx = r.task_idx
        )
        union all
        select k.version_key, k.task_idx, null
        from versions as v join leoflow_core.task as k on k.version_key = v.version_key
        where p_tasks is null
    )
    select distinct t.run_key, t.task_idx, t.map_index
    from runs as r
    join chosen as c on c.version_key = r.version_key
    join leoflow_core.all_task_instances as t
        on t.run_key = r.run_key and t.task_idx = c.task_idx and (c.map_index is null or t.map_index = c.map_index)
    order by 1, 2, 3;
end
$$;
comment on function leoflow_core.select_tasks(
    text, text, jsonb, boolean, boolean, boolean, boolean, timestamptz, timestamptz, boolean
) is 'Which instances an operator''s action concerns.';
