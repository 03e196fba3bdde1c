-- Notes why attempts of a DAG get an interpreter of their own instead of a fork (null: they are forked), for
-- api_dag_warnings and `leoflow doctor`. A fact about this machine's environment, so it is no part of the version.
-- Locks: the DAG's row, if that is news. Callers: watcher.
create or replace function leoflow_core.set_spawn_reason(p_dag_id text, p_reason text) returns void language sql as $$
    update leoflow_core.dag as d set spawn_reason = p_reason
    where d.dag_id = p_dag_id and d.spawn_reason is distinct from p_reason
$$;
comment on function leoflow_core.set_spawn_reason(text, text) is
'Notes why attempts of a DAG get an interpreter of their own.';
