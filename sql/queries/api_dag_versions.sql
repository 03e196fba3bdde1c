-- name: version
select * from leoflow_core.api_dag_versions
where dag_id = %(dag_id)s and version_number = %(version_number)s;

-- name: source
select
    v.source_code as content,
    d.dag_id,
    v.version_number,
    coalesce(d.display_name, d.dag_id) as dag_display_name
from leoflow_core.dag d
join leoflow_core.dag_version v using (dag_key)
where
    d.dag_id = %(dag_id)s
    and case
        when %(version_number)s::int is null then v.version_key = d.current_version_key
        else v.version_number = %(version_number)s
    end;
