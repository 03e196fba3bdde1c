-- name: exists
select 1 from leoflow_core.dag where dag_id = %(dag_id)s;

-- name: details
-- A DAG with what its author wrote, from the specification of its current version.
select
    a.*,
    d.catchup,
    case when d.dagrun_timeout_seconds is not null then make_interval(secs => least(d.dagrun_timeout_seconds, 86399999999999)) end
        as dag_run_timeout,
    leoflow_core.asset_expression(d.schedule -> 'expression') as asset_expression,
    d.doc_md,
    d.start_date,
    d.end_date,
    (v.spec ->> 'is_paused_upon_creation')::boolean as is_paused_upon_creation,
    coalesce(v.spec -> 'params', '{}') as params,
    coalesce((v.spec ->> 'render_template_as_native_obj')::boolean, false) as render_template_as_native_obj,
    null::text[] as template_search_path,
    d.timezone,
    d.last_parsed_at as last_parsed,
    coalesce(v.spec -> 'default_args', '{}') as default_args,
    d.owner_links,
    leoflow_core.api_is_favorite(d.dag_key, %(user_name)s) as is_favorite,
    (
        select count(*)
        from leoflow_core.dag_run r
        where r.dag_key = d.dag_key and r.state in ('queued', 'running')
    ) as active_runs_count,
    d.max_active_tasks as concurrency,
    s.dag_version as latest_dag_version
from leoflow_core.api_dags a
join leoflow_core.dag d using (dag_key)
left join leoflow_core.dag_version v on v.version_key = d.current_version_key
left join leoflow_core.api_dag_versions s on s.version_key = d.current_version_key
where a.dag_id = %(dag_id)s;

-- name: delete
select leoflow.delete_dag(p_dag_id => %(dag_id)s, p_user => %(user)s);

-- name: favorite
insert into leoflow_core.favorite (user_name, dag_key)
select %(user_name)s, d.dag_key from leoflow_core.dag d where d.dag_id = %(dag_id)s
on conflict do nothing;

-- name: unfavorite
delete from leoflow_core.favorite
where
    user_name = %(user_name)s
    and dag_key = (select d.dag_key from leoflow_core.dag d where d.dag_id = %(dag_id)s);

-- name: files
-- The projects whose DAGs came from a file.
select distinct project_path, fileloc
from leoflow_core.dag
where bundle_name is not distinct from %(bundle_name)s and relative_fileloc is not distinct from %(relative_fileloc)s;

-- name: request_parse
select pg_notify('leoflow_reparse', %(fileloc)s);

-- name: import_error
select * from leoflow_core.api_import_errors where import_error_id = %(import_error_id)s;
