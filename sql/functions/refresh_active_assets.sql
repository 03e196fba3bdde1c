-- Makes every asset inactive that no DAG mentions, and active every one that is mentioned, unless an active asset has
-- its name or its uri already: that is a conflict, and a warning of the DAGs that mention it (Airflow 3.2,
-- _update_asset_orphanage).
-- Locks: the assets advisory lock; the assets' rows that change; as refresh_watchers. Callers: register_assets, delete_dag.
create or replace function leoflow_core.refresh_active_assets() returns void language plpgsql as $$
declare
    v_asset leoflow_core.asset;
    v_changed boolean;
begin
    perform pg_advisory_xact_lock(leoflow_core.lock_class('assets'), 0);
    update leoflow_core.asset as a set is_active = false
    where a.is_active
        and not exists (select from leoflow_core.schedule_asset as s where s.asset_key = a.asset_key)
        and not exists (select from leoflow_core.task_asset as t where t.asset_key = a.asset_key);
    v_changed := found;
    for v_asset in
        select a.* from leoflow_core.asset as a
        where not a.is_active and (
            exists (select from leoflow_core.schedule_asset as s where s.asset_key = a.asset_key)
            or exists (select from leoflow_core.task_asset as t where t.asset_key = a.asset_key)
        )
        order by a.asset_key
    loop
        continue when exists (
            select from leoflow_core.asset as o where o.is_active and (o.name = v_asset.name or o.uri = v_asset.uri)
        );
        update leoflow_core.asset as a set is_active = true where a.asset_key = v_asset.asset_key;
        v_changed := true;
    end loop;
    if v_changed then -- a reference by name or uri may mean another asset now
        update leoflow_core.asset_queue as q set is_checked = false
        where q.is_checked and exists (select from leoflow_core.schedule_asset_ref as s where s.dag_key = q.dag_key);
        if found then
            notify leoflow_assets;
        end if;
    end if;
    perform leoflow_core.refresh_watchers();
end
$$;
comment on function leoflow_core.refresh_active_assets() is
'Makes assets active that DAGs mention without conflict, and all others inactive.';
