-- name: stats
-- Runs by state, all four states always present, in Airflow's order.
select
    d.dag_id,
    coalesce(d.display_name, d.dag_id) as dag_display_name,
    jsonb_build_array(
        jsonb_build_object('state', 'queued', 'count', coalesce(c.queued, 0)),
        jsonb_build_object('state', 'running', 'count', coalesce(c.running, 0)),
        jsonb_build_object('state', 'success', 'count', coalesce(c.success, 0)),
        jsonb_build_object('state', 'failed', 'count', coalesce(c.failed, 0))
    ) as stats
from leoflow_core.dag d
left join (
    select
        r.dag_key,
        count(*) filter (where r.state = 'queued') as queued,
        count(*) filter (where r.state = 'running') as running,
        count(*) filter (where r.state = 'success') as success,
        count(*) filter (where r.state = 'failed') as failed
    from leoflow_core.dag_run r
    where
        %(dag_ids)s::text[] is null
        or r.dag_key in (select k.dag_key from leoflow_core.dag k where k.dag_id = any(%(dag_ids)s::text[]))
    group by r.dag_key
) c using (dag_key)
where %(dag_ids)s::text[] is null or d.dag_id = any(%(dag_ids)s::text[])
order by d.dag_id;
