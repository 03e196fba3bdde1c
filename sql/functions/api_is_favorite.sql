-- Contract: whether a user marked a DAG as a favourite.
-- Locks: none. Callers: the API's lists of DAGs.
create or replace function leoflow_core.api_is_favorite(p_dag_key int, p_user_name text)
returns boolean
language sql stable parallel safe
begin atomic
    select exists (
        select from leoflow_core.favorite f where f.user_name = p_user_name and f.dag_key = p_dag_key
    );
end;

comment on function leoflow_core.api_is_favorite(int, text) is 'Whether a user marked a DAG as a favourite.';
