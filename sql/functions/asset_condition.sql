-- The leaves of an asset expression as dag.json has it (`all` and `any` over assets, aliases and references).
-- Locks: none. Callers: register_assets.
create or replace function leoflow_core.asset_leaves(p_expression jsonb) returns setof jsonb
language sql immutable parallel safe as $$
    with recursive part as (
        select p_expression as node
        union all
        select o.node
        from part as p
        cross join lateral jsonb_array_elements(
            case when p.node ->> 'type' in ('all', 'any') then p.node -> 'objects' else '[]' end
        ) as o(node)
    )
    select p.node from part as p where p.node ->> 'type' in ('asset', 'alias', 'name_ref', 'uri_ref')
$$;
comment on function leoflow_core.asset_leaves(jsonb) is 'The assets, aliases and references in an expression.';

-- Whether an expression is satisfied by events of the given assets. An alias is satisfied by any asset it was ever
-- resolved to, a reference by the active asset of that name or uri (Airflow 3.2, assets/evaluation.py).
-- Locks: none. Callers: create_asset_runs.
create or replace function leoflow_core.asset_condition_met(p_expression jsonb, p_asset_keys int[]) returns boolean
language plpgsql stable as $$
begin
    case p_expression ->> 'type'
        when 'all' then
            return coalesce((
                select bool_and(leoflow_core.asset_condition_met(o.node, p_asset_keys))
                from jsonb_array_elements(p_expression -> 'objects') as o(node)
            ), true);
        when 'any' then
            return coalesce((
                select bool_or(leoflow_core.asset_condition_met(o.node, p_asset_keys))
                from jsonb_array_elements(p_expression -> 'objects') as o(node)
            ), false);
        when 'asset' then
            return exists (
                select from leoflow_core.asset as a
                where a.name = p_expression ->> 'name' and a.uri = p_expression ->> 'uri' and a.asset_key = any(p_asset_keys)
            );
        when 'alias' then
            return exists (
                select from leoflow_core.asset_alias as l
                join leoflow_core.asset_alias_asset as r on r.alias_key = l.alias_key
                where l.name = p_expression ->> 'name' and r.asset_key = any(p_asset_keys)
            );
        when 'name_ref' then
            return exists (
                select from leoflow_core.asset as a
                where a.is_active and a.name = p_expression ->> 'name' and a.asset_key = any(p_asset_keys)
            );
        when 'uri_ref' then
            return exists (
                select from leoflow_core.asset as a
                where a.is_active and a.uri = p_expression ->> 'uri' and a.asset_key = any(p_asset_keys)
            );
        else
            return false;
    end case;
end
$$;
comment on function leoflow_core.asset_condition_met(jsonb, int[]) is
'Whether an asset expression is satisfied by events of the given assets.';

-- An expression as Airflow's API shows it: {"all": [{"asset": {"id", "name", "uri", "group"}}, {"alias": …}, …]}.
-- Locks: none. Callers: the API.
create or replace function leoflow_core.asset_expression(p_expression jsonb) returns jsonb
language plpgsql stable as $$
begin
    case p_expression ->> 'type'
        when 'all', 'any' then
            return jsonb_build_object(p_expression ->> 'type', coalesce((
                select jsonb_agg(leoflow_core.asset_expression(o.node) order by o.ord)
                from jsonb_array_elements(p_expression -> 'objects') with ordinality as o(node, ord)
            ), '[]'));
        when 'asset' then
            return jsonb_build_object('asset', jsonb_build_object(
                'uri', p_expression ->> 'uri', 'name', p_expression ->> 'name', 'group', p_expression ->> 'group',
                'id', (
                    select a.asset_key from leoflow_core.asset as a
                    where a.name = p_expression ->> 'name' and a.uri = p_expression ->> 'uri'
                )
            ));
        when 'alias' then
            return jsonb_build_object('alias', p_expression - 'type');
        when 'name_ref', 'uri_ref' then
            return jsonb_build_object('asset_ref', p_expression - 'type');
        else
            return null;
    end case;
end
$$;
comment on function leoflow_core.asset_expression(jsonb) is 'An asset expression as Airflow''s API shows it.';
