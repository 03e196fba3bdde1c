-- Remembers why a file cannot be loaded. Its DAGs keep running their last good version.
-- Locks: the error's row, the DAGs' rows. Callers: watcher.
create or replace function leoflow_core.set_import_error(
    p_filename text, p_stack_trace text, p_bundle_name text default 'dags', p_dag_ids text[] default null
) returns void language plpgsql as $$
begin
    insert into leoflow_core.import_error as i (filename, stack_trace, bundle_name)
    values (p_filename, p_stack_trace, p_bundle_name)
    on conflict (filename) do update set
        stack_trace = excluded.stack_trace, bundle_name = excluded.bundle_name, created_at = clock_timestamp()
    where i.stack_trace <> excluded.stack_trace;
    update leoflow_core.dag as d set has_import_errors = true
    where (d.dag_id = any(p_dag_ids) or d.fileloc = p_filename) and not d.has_import_errors;
end
$$;
comment on function leoflow_core.set_import_error(text, text, text, text[]) is 'Remembers why a file cannot be loaded.';

-- Forgets the import error of a file. Locks: the error's row, the DAGs' rows. Callers: watcher.
create or replace function leoflow_core.clear_import_error(p_filename text) returns void language plpgsql as $$
begin
    delete from leoflow_core.import_error as i where i.filename = p_filename;
    update leoflow_core.dag as d set has_import_errors = false where d.fileloc = p_filename and d.has_import_errors;
end
$$;
comment on function leoflow_core.clear_import_error(text) is 'Forgets the import error of a file.';
