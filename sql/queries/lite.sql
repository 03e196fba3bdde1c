-- Statements of leoflow/lite.

-- name: active_dags
-- Every DAG that a project on this machine defines, with where it comes from.
select d.dag_id, d.project_path, d.relative_fileloc
from leoflow_core.dag as d
where not d.is_stale and d.project_path is not null;

-- name: spawned_dags
-- DAGs whose attempts get an interpreter of their own, with where they come from and why.
select d.dag_id, coalesce(d.project_path, d.fileloc, ''), d.spawn_reason
from leoflow_core.dag as d
where d.spawn_reason is not null and not d.is_stale
order by d.dag_id;

-- name: import_error_files
select e.filename from leoflow_core.import_error as e;

-- name: deactivate_dag
select leoflow_core.deactivate_dag(%s);

-- name: set_import_error
select leoflow_core.set_import_error(%s, %s);

-- name: clear_import_error
select leoflow_core.clear_import_error(%s);

-- name: environment_of_key
-- What an environment is made of, from any version that runs in it.
select v.spec ->> 'python_version', v.spec -> 'dependencies'
from leoflow_core.dag_version as v
where v.environment_key = %s
order by v.version_key desc
limit 1;
