-- Contract: one row per DAG and missing pool, and one per timetable that fails. Registration makes no pool and refuses
-- none, so a task may name a pool with no slots at all; that is what a user must be told.
-- Callers: the API's warning resource.
create or replace view leoflow_core.api_dag_warnings as
select
    d.dag_id,
    'non-existent pool' as warning_type,
    format('Dag ''%s'' uses the pool ''%s'', which has no slots: its tasks will not run.', d.dag_id, p.name)
        as message,
    d.last_parsed_at as "timestamp",
    coalesce(d.display_name, d.dag_id) as dag_display_name
from leoflow_core.dag d
join lateral (
    select distinct t.pool_key from leoflow_core.task t where t.version_key = d.current_version_key
) used on true
join leoflow_core.pool p on p.pool_key = used.pool_key
where p.slots = 0 and not d.is_stale
union all
select
    d.dag_id,
    'runtime varying value',
    format('Dag ''%s'' is not scheduled, its timetable cannot say when the next run is: %s', d.dag_id, d.schedule_error),
    d.last_parsed_at,
    coalesce(d.display_name, d.dag_id)
from leoflow_core.dag d
where d.schedule_error is not null and not d.is_stale;

comment on view leoflow_core.api_dag_warnings is 'Warnings about DAGs, as the API shows them.';
