-- XComs; value is the encoded JSON as text, null where it is not UTF-8. Readers: users, API, CLI.
create or replace view leoflow.xcoms as
select
    d.dag_id,
    r.run_id,
    k.task_id,
    x.map_index,
    x.key,
    convert_from(x.value, 'UTF8') as value,
    length(x.value) as size,
    x.created_at as "timestamp",
    r.logical_date,
    r.run_after,
    k.display_name as task_display_name,
    r.dag_key,
    x.run_key,
    x.task_idx
from leoflow_core.xcom as x
join leoflow_core.dag_run as r on r.run_key = x.run_key
join leoflow_core.dag as d on d.dag_key = r.dag_key
join leoflow_core.task as k on k.version_key = r.version_key and k.task_idx = x.task_idx;
comment on view leoflow.xcoms is 'XComs with their values as text.';
