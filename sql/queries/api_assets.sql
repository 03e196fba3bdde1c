-- Statements of the API's asset resources.

-- name: asset
select * from leoflow_core.api_assets where id = %(asset_id)s;

-- name: alias
select l.alias_key as id, l.name, l.asset_group as "group"
from leoflow_core.asset_alias as l
where l.alias_key = %(alias_id)s;

-- name: event
select * from leoflow_core.api_asset_events where id = %(event_id)s;

-- name: record_event
select leoflow_core.record_outside_event(%(asset_id)s, %(extra)s, %(partition_key)s);

-- name: queued_event
select * from leoflow_core.api_queued_events as q
where
    q.dag_id = %(dag_id)s and q.asset_id = %(asset_id)s
    and (%(before)s::timestamptz is null or q.created_at < %(before)s);

-- name: forget
select leoflow_core.forget_queued_events(
    case when %(dag_id)s::text is not null then coalesce(
        (select d.dag_key from leoflow_core.dag as d where d.dag_id = %(dag_id)s), -1
    ) end, %(asset_id)s, %(before)s
);

-- name: producers
-- The DAGs that make an asset; two are enough to know that there are several.
select distinct d.dag_id
from leoflow_core.task_asset as t
join leoflow_core.dag as d on d.dag_key = t.dag_key
where t.asset_key = %(asset_id)s and t.direction = 'outlet'
order by d.dag_id
limit 2;

-- name: allowed_run_types
select v.spec -> 'allowed_run_types'
from leoflow_core.dag_version as v
where v.version_key = %(current_version_key)s;

-- name: upstream_events
select e.*
from leoflow_core.dag_run_asset_event as c
join leoflow_core.api_asset_events as e on e.timestamp = c.event_at and e.id = c.event_key
where c.run_key = %(run_key)s
order by e.timestamp, e.id;
