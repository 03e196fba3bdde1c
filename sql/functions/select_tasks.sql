-- Which instances an operator's action on a DAG concerns. p_tasks: JSON array of task ids or [task id, map index]
-- pairs, null for all. Upstream and downstream are transitive and take more along, see add_relatives; past and future
-- mean the DAG's runs with earlier or later logical dates, both together all runs. p_run_id null: all runs in the date
-- range (p_start, p_end inclusive).
-- p_on_schedule (marking, Airflow's get_run_ids): past and future reach only runs of the schedule, none if the DAG runs
-- once or by assets; without a schedule all runs with logical dates.
-- Raises LF404, LF422.
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
    v_current bigint;
    v_version_key bigint;
    v_run leoflow_core.dag_run;
    v_unknown text;
    v_schedule text;
    v_tasks int[];
    v_indexes int[];
begin
    if jsonb_typeof(p_tasks) <> 'array' or p_tasks @? 'strict $[*] ? (@.type() != "string" && !(
        @.type() == "array" && @.size() == 2 && @[0].type() == "string" && @[1].type() == "number"
        && @[1].floor() == @[1] && @[1] >= -1 && @[1] < 2147483648
    ))' then
        perform leoflow_core.reject('LF422', 'p_tasks must be a JSON array of task ids or [task id, map index] pairs',
            'for example ["extract", ["load", 3]]');
    end if;
    select d.dag_key, d.current_version_key, coalesce(d.schedule ->> 'type', 'none')
    into v_dag_key, v_current, v_schedule from leoflow_core.dag as d
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
    v_version_key := coalesce(v_run.version_key, v_current);
    -- a task keeps its task_idx from version to version
    select array_agg(n.task_idx), array_agg(n.map_index) into v_tasks, v_indexes
    from (
        select distinct k.task_idx, w.map_index
        from (
            select
                case jsonb_typeof(e.item) when 'array' then e.item ->> 0 else e.item #>> '{}' end as task_id,
                case jsonb_typeof(e.item) when 'array' then (e.item ->> 1)::int end as map_index
            from jsonb_array_elements(p_tasks) as e(item)
        ) as w
        join leoflow_core.dag_version as v
            on v.dag_key = v_dag_key and (p_run_id is null or v.version_key = v_version_key)
        join leoflow_core.task as k on k.version_key = v.version_key and k.task_id = w.task_id
    ) as n;
    if v_tasks is not null and (p_upstream or p_downstream) then
        select c.task_idxs, c.map_indexes into v_tasks, v_indexes from leoflow_core.add_relatives(
            v_version_key, v_run.run_key, v_tasks, v_indexes, p_upstream, p_downstream,
            case when p_on_schedule then 'marked' when p_run_id is null then 'cleared in any run' else 'cleared in a run' end
        ) as c;
    end if;
    return query
    with runs as materialized (
        select r.run_key from leoflow_core.dag_run as r
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
    chosen as materialized (
        select c.task_idx, c.map_index from unnest(v_tasks, v_indexes) as c(task_idx, map_index)
    )
    select distinct t.run_key, t.task_idx, t.map_index
    from runs as r
    join leoflow_core.all_task_instances as t on t.run_key = r.run_key
    left join chosen as c on c.task_idx = t.task_idx
    where p_tasks is null or (c.task_idx is not null and coalesce(c.map_index, t.map_index) = t.map_index)
    order by 1, 2, 3;
end
$$;
comment on function leoflow_core.select_tasks(
    text, text, jsonb, boolean, boolean, boolean, boolean, timestamptz, timestamptz, boolean
) is 'Which instances an operator''s action concerns.';
