-- Runs of most versions need not ask which tasks they are without.
alter table leoflow_core.dag_version add column has_dates boolean not null default false;
comment on column leoflow_core.dag_version.has_dates is
'Whether tasks have a later start_date or an earlier end_date than the DAG, so that some runs are without them.';
