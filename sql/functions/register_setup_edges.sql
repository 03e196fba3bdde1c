-- Adds the implied edges of setups and teardowns (Airflow: get_upstreams_only_setups, _evaluate_teardown_scope):
-- kind s, an indirect setup that must succeed before the task; kind t, a task inside a teardown's scope.
-- Locks: none beyond the version's new rows. Callers: register_tasks.
create or replace function leoflow_core.register_setup_edges(p_version_key bigint) returns void
language plpgsql
set jit = off set plan_cache_mode = auto set enable_nestloop = off -- a new version or run is not in the statistics
set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set enable_bitmapscan = on
as $$
begin
    with recursive below as (
        select t.task_idx as setup, e.downstream_idx as idx
        from leoflow_core.task as t
        join leoflow_core.task_edge as e on e.version_key = t.version_key and e.upstream_idx = t.task_idx
        where t.version_key = p_version_key and t.is_setup
        union
        select b.setup, e.downstream_idx
        from below as b
        join leoflow_core.task_edge as e on e.version_key = p_version_key and e.upstream_idx = b.idx
    ),
    above as (
        select t.task_idx as teardown, e.upstream_idx as idx
        from leoflow_core.task as t
        join leoflow_core.task_edge as e on e.version_key = t.version_key and e.downstream_idx = t.task_idx
        where t.version_key = p_version_key and t.is_teardown
        union
        select a.teardown, e.upstream_idx
        from above as a
        join leoflow_core.task_edge as e on e.version_key = p_version_key and e.downstream_idx = a.idx
    ),
    pairs as (
        select e.upstream_idx as setup, e.downstream_idx as teardown
        from leoflow_core.task_edge as e
        join leoflow_core.task as s on s.version_key = p_version_key and s.task_idx = e.upstream_idx and s.is_setup
        join leoflow_core.task as t on t.version_key = p_version_key and t.task_idx = e.downstream_idx and t.is_teardown
        where e.version_key = p_version_key
    )
    insert into leoflow_core.task_edge (version_key, upstream_idx, downstream_idx, kind)
    select p_version_key, b.setup, b.idx, 's'
    from below as b
    join leoflow_core.task as t on t.version_key = p_version_key and t.task_idx = b.idx and not t.is_teardown
    where not exists (
            select from leoflow_core.task_edge as e
            where e.version_key = p_version_key and e.upstream_idx = b.setup and e.downstream_idx = b.idx
        )
        and (
            not exists (select from pairs as p where p.setup = b.setup)
            or exists (
                select from pairs as p join above as a on a.teardown = p.teardown
                where p.setup = b.setup and a.idx = b.idx
            )
        )
    union
    select p_version_key, b.idx, p.teardown, 't'
    from pairs as p
    join below as b on b.setup = p.setup
    join above as a on a.teardown = p.teardown and a.idx = b.idx
    where not exists (
        select from leoflow_core.task_edge as e
        where e.version_key = p_version_key and e.upstream_idx = b.idx and e.downstream_idx = p.teardown
    );
    update leoflow_core.task as t set extra_count = x.n
    from (
        select e.downstream_idx, count(*)::int as n from leoflow_core.task_edge as e
        where e.version_key = p_version_key and e.kind <> 'd' group by 1
    ) as x
    where t.version_key = p_version_key and t.task_idx = x.downstream_idx;
end
$$;
comment on function leoflow_core.register_setup_edges(bigint) is 'Adds the implied edges of setups and teardowns.';
