-- Contract: one row per version of a DAG, named as Airflow's API names them, and the same as one JSON object.
-- Callers: the API, and the views below it.
create or replace view leoflow_core.api_dag_versions as
select
    v.version_key,
    v.dag_key,
    v.version_id as id,
    v.version_number,
    d.dag_id,
    d.bundle_name,
    null::text as bundle_version,
    v.created_at,
    coalesce(d.display_name, d.dag_id) as dag_display_name,
    null::text as bundle_url,
    jsonb_build_object(
        'id', v.version_id, 'version_number', v.version_number, 'dag_id', d.dag_id, 'bundle_name', d.bundle_name,
        'bundle_version', null, 'created_at', v.created_at at time zone 'UTC' || 'Z',
        'dag_display_name', coalesce(d.display_name, d.dag_id), 'bundle_url', null
    ) as dag_version
from leoflow_core.dag_version v
join leoflow_core.dag d using (dag_key);

comment on view leoflow_core.api_dag_versions is 'Versions of DAGs, as the API shows them.';
