-- Turns a spec into rows of task, task_edge, reduce_input and task_group, once per version.
-- Raises LF422 for a cycle.
-- Locks: none beyond its own new rows. Callers: register_version.
create or replace function leoflow_core.register_tasks(p_version_key bigint, p_spec jsonb) returns void
language plpgsql
set jit = off set plan_cache_mode = auto set enable_nestloop = off -- a new version or run is not in the statistics
set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set enable_bitmapscan = on
as $$
declare
    v_ids text[];
    v_up int[];
    v_down int[];
    v_position int[];
    v_index int[];
begin
    select array_agg(t.spec ->> 'task_id' order by t.ord) into v_ids
    from jsonb_array_elements(p_spec -> 'tasks') with ordinality as t(spec, ord);
    v_index := leoflow_core.task_indexes(p_version_key, coalesce(v_ids, '{}'));
    select array_agg(array_position.up), array_agg(array_position.down) into v_up, v_down
    from (
        with ids as materialized (select i.task_id, (i.ord - 1)::int as idx from unnest(v_ids) with ordinality as i(task_id, ord))
        select distinct u.idx as up, (t.ord - 1)::int as down
        from jsonb_array_elements(p_spec -> 'tasks') with ordinality as t(spec, ord)
        cross join lateral jsonb_array_elements_text(coalesce(t.spec -> 'depends_on', '[]')) as d(task_id)
        join ids as u on u.task_id = d.task_id
    ) as array_position;
    v_position := leoflow_core.topological_positions(coalesce(cardinality(v_ids), 0), v_up, v_down);
    if v_position is null then
        perform leoflow_core.reject('LF422', format('the DAG %s has a cycle', p_spec ->> 'dag_id'),
            'remove one of the dependencies that lead back to their own task');
    end if;

    insert into leoflow_core.task (
        version_key, task_idx, task_id, position, trigger_rule, upstream_count, is_leaf, is_counted, feeds_slots,
        is_slotted, has_downstream, is_setup, is_teardown, is_mapped, has_reduce, retries, retry_delay_seconds,
        retry_exponential_backoff, max_retry_delay_seconds, execution_timeout_seconds, queue_key, pool_key, pool_slots,
        priority, depends_on_past, wait_for_downstream, max_active_tis_per_dag, max_active_tis_per_dagrun, group_id,
        kind, operator, operator_name, display_name, owner, map_index_template, spec
    )
    with up as materialized (select e.idx, count(*)::int as n from unnest(v_down) as e(idx) group by e.idx),
    queues as materialized (
        select q.name, leoflow_core.queue_key(q.name) as queue_key from (
            select distinct coalesce(t.spec ->> 'queue', 'default') as name
            from jsonb_array_elements(p_spec -> 'tasks') as t(spec)
        ) as q
    ),
    pools as materialized (
        select p.name, leoflow_core.pool_key(p.name) as pool_key from (
            select distinct coalesce(t.spec ->> 'pool', 'default_pool') as name
            from jsonb_array_elements(p_spec -> 'tasks') as t(spec)
        ) as p
    )
    select
        p_version_key, v_index[t.ord], t.spec ->> 'task_id', v_position[t.ord],
        coalesce(t.spec ->> 'trigger_rule', 'all_success')::leoflow.trigger_rule, coalesce(up.n, 0),
        true, true, false, coalesce(up.n, 0) > 64, false,
        coalesce((t.spec ->> 'is_setup')::boolean, false), coalesce((t.spec ->> 'is_teardown')::boolean, false),
        jsonb_typeof(t.spec -> 'mapping') is not distinct from 'object',
        coalesce(t.spec -> 'xcom_input', '{}') <> '{}'::jsonb,
        coalesce((t.spec ->> 'retries')::int, 0), coalesce((t.spec ->> 'retry_delay_seconds')::float8, 300),
        coalesce((t.spec ->> 'retry_exponential_backoff')::float8, 0), (t.spec ->> 'max_retry_delay_seconds')::float8,
        (t.spec ->> 'execution_timeout_seconds')::float8, queues.queue_key, pools.pool_key,
        coalesce((t.spec ->> 'pool_slots')::int, 1),
        -- as in Airflow, weights beyond 32 bits are the largest there are
        greatest(least(
            coalesce((t.spec ->> 'effective_priority')::numeric, (t.spec ->> 'priority_weight')::numeric, 1), 2147483647
        ), -2147483647)::int,
        coalesce((t.spec ->> 'depends_on_past')::boolean, false),
        coalesce((t.spec ->> 'wait_for_downstream')::boolean, false),
        (t.spec ->> 'max_active_tis_per_dag')::int, (t.spec ->> 'max_active_tis_per_dagrun')::int,
        t.spec ->> 'group_id', coalesce(t.spec ->> 'kind', 'operator'), coalesce(t.spec ->> 'operator', ''),
        t.spec ->> 'operator_name', t.spec ->> 'task_display_name', t.spec ->> 'owner', t.spec ->> 'map_index_template',
        t.spec
    from jsonb_array_elements(p_spec -> 'tasks') with ordinality as t(spec, ord)
    left join up on up.idx = t.ord - 1
    join queues on queues.name = coalesce(t.spec ->> 'queue', 'default')
    join pools on pools.name = coalesce(t.spec ->> 'pool', 'default_pool')
    order by v_index[t.ord]; -- runs read them in key order

    insert into leoflow_core.task_edge (version_key, upstream_idx, downstream_idx, kind, is_slotted, label)
    select p_version_key, u.task_idx, d.task_idx, 'd', d.is_slotted, l.label
    from unnest(v_up, v_down) as e(up, down)
    join leoflow_core.task as u on u.version_key = p_version_key and u.task_idx = v_index[e.up + 1]
    join leoflow_core.task as d on d.version_key = p_version_key and d.task_idx = v_index[e.down + 1]
    left join (
        select distinct on (1, 2) l.edge ->> 'from' as from_id, l.edge ->> 'to' as to_id, l.edge ->> 'label' as label
        from jsonb_array_elements(coalesce(p_spec -> 'edges', '[]')) as l(edge)
    ) as l on l.from_id = u.task_id and l.to_id = d.task_id;

    if exists (select from leoflow_core.task as t where t.version_key = p_version_key and (t.is_setup or t.is_teardown)) then
        perform leoflow_core.register_setup_edges(p_version_key);
    end if;

    insert into leoflow_core.task_group (version_key, group_id, parent_group_id, label, tooltip, is_mapped, spec)
    select
        p_version_key, g.spec ->> 'group_id', g.spec ->> 'parent_group_id', g.spec ->> 'label', g.spec ->> 'tooltip',
        coalesce((g.spec ->> 'is_mapped')::boolean, false), g.spec
    from jsonb_array_elements(coalesce(p_spec -> 'task_groups', '[]')) as g(spec)
    where g.spec ->> 'group_id' is not null;
    perform leoflow_core.register_mapping(p_version_key);
    perform leoflow_core.validate_map_order(p_version_key);

    -- is_leaf: Airflow's effective leaf (models/dagrun.py): a teardown downstream does not count.
    with flags as materialized (
        select
            t.task_idx, t.is_teardown, t.upstream_count, t.extra_count, t.trigger_rule,
            t.map_inputs is not null as is_fanned,
            coalesce((t.spec ->> 'on_failure_fail_dagrun')::boolean, false) as fails_run
        from leoflow_core.task as t where t.version_key = p_version_key
    )
    update leoflow_core.task as t set
        has_downstream = f.has_downstream, feeds_slots = f.feeds_slots, is_leaf = f.is_leaf,
        is_counted = f.is_leaf or not f.is_implied
    from (
        select
            t.task_idx, coalesce(bool_or(not e.is_slotted), false) as has_downstream,
            coalesce(bool_or(e.is_slotted), false) as feeds_slots,
            (not t.is_teardown or t.fails_run)
            and not coalesce(bool_or(e.kind = 'd' and (not d.is_teardown or d.fails_run)), false) as is_leaf,
            -- a downstream that waits for this task alone cannot be final before it
            coalesce(bool_or(
                e.kind = 'd' and d.upstream_count = 1 and d.extra_count = 0 and d.trigger_rule <> 'always'
                and not (t.is_fanned or d.is_fanned)
            ), false) as is_implied
        from flags as t
        left join leoflow_core.task_edge as e on e.version_key = p_version_key and e.upstream_idx = t.task_idx
        left join flags as d on d.task_idx = e.downstream_idx
        group by t.task_idx, t.is_teardown, t.fails_run, t.is_fanned
    ) as f
    where t.version_key = p_version_key and t.task_idx = f.task_idx;
    if not exists (select from leoflow_core.task as t where t.version_key = p_version_key and t.is_leaf) then
        update leoflow_core.task as t set is_leaf = true, is_counted = true
        where t.version_key = p_version_key
            and not exists (
                select from leoflow_core.task_edge as e
                where e.version_key = p_version_key and e.upstream_idx = t.task_idx and e.kind = 'd'
            );
    end if;

    insert into leoflow_core.reduce_input (version_key, task_idx, param, slot, upstream_idx)
    select p_version_key, v_index[t.ord], p.param, (s.ord - 1)::int, u.task_idx
    from jsonb_array_elements(p_spec -> 'tasks') with ordinality as t(spec, ord)
    cross join lateral jsonb_each(coalesce(nullif(t.spec -> 'xcom_input', 'null'), '{}')) as p(param, slots)
    cross join lateral jsonb_array_elements_text(p.slots) with ordinality as s(task_id, ord)
    join leoflow_core.task as u on u.version_key = p_version_key and u.task_id = s.task_id
    union all
    -- all that a mapped task returns: its slots are known when the run is
    select p_version_key, t.task_idx, p.param, -1, u.task_idx
    from leoflow_core.task as t
    cross join lateral jsonb_each_text(
        case jsonb_typeof(t.spec -> 'extra' -> 'mapped_input') when 'object' then t.spec -> 'extra' -> 'mapped_input' end
    ) as p(param, task_id)
    join leoflow_core.task as u
        on u.version_key = p_version_key and u.task_id = p.task_id and u.map_inputs is not null
    where t.version_key = p_version_key and t.map_inputs is null;
end
$$;
comment on function leoflow_core.register_tasks(bigint, jsonb) is 'Turns a spec into rows, once per version.';
