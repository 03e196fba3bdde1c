-- DAG files that cannot be loaded. Readers: users, API, CLI.
create or replace view leoflow.import_errors as
select i.import_error_key as import_error_id, i.created_at as "timestamp", i.filename, i.bundle_name, i.stack_trace
from leoflow_core.import_error as i;
comment on view leoflow.import_errors is 'DAG files that cannot be loaded.';
