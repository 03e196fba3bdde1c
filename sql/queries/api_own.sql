-- name: version_id
select version_id from leoflow_core.dag_version where version_key = %(version_key)s;

-- name: spec
select v.spec
from leoflow_core.dag_version v
join leoflow_core.dag d using (dag_key)
where d.dag_id = %(dag_id)s and v.version_number = %(version_number)s;
