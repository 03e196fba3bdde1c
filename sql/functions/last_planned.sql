-- The interval of a DAG's latest run of its schedule, also of one a backfill made; of a schedule of partitions the moment
-- from which that run could start; nulls: there is none. Always one row; the planner inlines it.
-- Locks: none. Callers: scheduler.
create or replace function leoflow_core.last_planned(p_dag_key int, p_schedule jsonb)
returns table (last_start timestamptz, last_end timestamptz) language sql stable as $$
    select coalesce(p.run_after, l.data_interval_start), coalesce(p.run_after, l.data_interval_end)
    from (values (1)) as always
    left join lateral (
        select r.run_after
        from leoflow_core.dag_run as r
        where p_schedule ->> 'type' = 'cron_partition' and r.dag_key = p_dag_key and r.run_type in ('scheduled', 'backfill')
        order by r.run_after desc
        limit 1
    ) as p on true
    left join lateral (
        select r.data_interval_start, r.data_interval_end
        from leoflow_core.dag_run as r
        where r.dag_key = p_dag_key and r.run_type in ('scheduled', 'backfill') and r.logical_date is not null
        order by r.logical_date desc
        limit 1
    ) as l on true
$$;
comment on function leoflow_core.last_planned(int, jsonb) is 'The interval of a DAG''s latest run of its schedule.';
