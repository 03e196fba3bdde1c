-- Contract: the state, or start, of a DAG's newest run by run_after; null without runs.
-- Locks: none. Callers: the API's lists of DAGs, for sorting and filtering.
create or replace function leoflow_core.api_last_run_state(p_dag_key int)
returns text
language sql stable parallel safe
begin atomic
    select r.state::text
    from leoflow_core.dag_run r
    where r.dag_key = p_dag_key
    order by r.run_after desc
    limit 1;
end;

comment on function leoflow_core.api_last_run_state(int) is 'State of the newest run of a DAG.';

create or replace function leoflow_core.api_last_run_start_date(p_dag_key int)
returns timestamptz
language sql stable parallel safe
begin atomic
    select r.start_date
    from leoflow_core.dag_run r
    where r.dag_key = p_dag_key
    order by r.run_after desc
    limit 1;
end;

comment on function leoflow_core.api_last_run_start_date(int) is 'Start of the newest run of a DAG.';
