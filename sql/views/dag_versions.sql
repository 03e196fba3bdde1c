-- Versions of DAGs, newest numbers last. Readers: users, API, CLI.
create or replace view leoflow.dag_versions as
select
    d.dag_id,
    v.version_number,
    v.version_id as id,
    v.dag_version,
    v.content_hash,
    v.task_count,
    v.relative_fileloc,
    v.bundle_path,
    v.environment_key,
    v.image,
    v.created_at,
    v.version_key = d.current_version_key as is_current,
    d.dag_key,
    v.version_key
from leoflow_core.dag_version as v
join leoflow_core.dag as d on d.dag_key = v.dag_key;
comment on view leoflow.dag_versions is 'Versions of DAGs.';
