-- Contract: one row per tag that a DAG has.
-- Callers: the API's tag resource.
create or replace view leoflow_core.api_dag_tags as
select distinct tag.name
from leoflow_core.dag d
cross join lateral unnest(d.tags) as tag (name)
where not d.is_stale;

comment on view leoflow_core.api_dag_tags is 'The tags in use.';
