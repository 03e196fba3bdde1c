-- Contract: one row per file that could not be compiled, named as Airflow's API names them.
-- Callers: the API's import error resource.
create or replace view leoflow_core.api_import_errors as
select
    e.import_error_key as import_error_id,
    e.created_at as "timestamp",
    e.filename,
    e.bundle_name,
    e.stack_trace
from leoflow_core.import_error e;

comment on view leoflow_core.api_import_errors is 'Files that could not be compiled, as the API shows them.';
