-- The tasks that have an asset as an outlet (they produce it) or an inlet, as the API shows them.
-- Locks: none. Callers: leoflow_core.api_assets.
create or replace function leoflow_core.api_asset_tasks(p_asset_key int, p_direction text) returns jsonb
language sql stable
begin atomic
    select
        coalesce(
            jsonb_agg(
                jsonb_build_object(
                    'dag_id', d.dag_id, 'task_id', t.task_id, 'created_at', t.created_at, 'updated_at', t.updated_at
                ) order by d.dag_id, t.task_id
            ), '[]'
        )
    from leoflow_core.task_asset as t
    join leoflow_core.dag as d using (dag_key)
    where t.asset_key = p_asset_key and t.direction = p_direction;
end;
comment on function leoflow_core.api_asset_tasks(int, text) is
'The tasks that produce (outlet) or consume (inlet) an asset, as the API shows them.';
