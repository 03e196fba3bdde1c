-- Names of variables; values are encrypted and not shown. Readers: users, CLI.
create or replace view leoflow.variables as
select v.key, v.description, v.created_at, v.updated_at from leoflow_core.variable as v;
comment on view leoflow.variables is 'Names of variables, without their values.';
