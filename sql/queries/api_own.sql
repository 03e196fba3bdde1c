-- name: register
-- A version sent from elsewhere: its sources are in its image, no directory of this machine runs it.
select registered.version_number, registered.is_new, v.version_id as id
from leoflow_core.register_version(p_spec => %(spec)s, p_content_hash => %(content_hash)s) as registered
join leoflow_core.dag_version v using (version_key)

-- name: spec
select v.spec
from leoflow_core.dag_version v
join leoflow_core.dag d using (dag_key)
where d.dag_id = %(dag_id)s and v.version_number = %(version_number)s
