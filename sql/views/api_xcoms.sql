-- Contract: one row per XCom without its value, named as Airflow's API names them.
-- Callers: the API's XCom resources.
create or replace view leoflow_core.api_xcoms as
select
    x.run_key,
    x.task_idx,
    x.key,
    x.created_at as "timestamp",
    r.logical_date,
    x.map_index,
    t.task_id,
    d.dag_id,
    r.run_id,
    coalesce(d.display_name, d.dag_id) as dag_display_name,
    coalesce(t.display_name, t.task_id) as task_display_name,
    r.run_after
from leoflow_core.xcom x
join leoflow_core.dag_run r on r.run_key = x.run_key
join leoflow_core.dag d on d.dag_key = r.dag_key
join leoflow_core.task t on t.version_key = r.version_key and t.task_idx = x.task_idx;

comment on view leoflow_core.api_xcoms is 'XComs without their values, as the API shows them.';
