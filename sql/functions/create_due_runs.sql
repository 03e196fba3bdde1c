-- Creates one scheduled run for each of a batch of DAGs. The arrays are parallel. A run that is refused (taken, invalid)
-- costs none of the others. Returns the refused ones: position (from 1), SQLSTATE of class LF, message.
-- Locks: as create_run; the caller holds the DAGs' rows. Callers: scheduler.
create or replace function leoflow_core.create_due_runs(
    p_dag_ids text[], p_run_ids text[], p_starts timestamptz[], p_ends timestamptz[], p_run_afters timestamptz[]
) returns table (item int, code text, message text) language plpgsql as $$
begin
    for i in 1 .. cardinality(p_dag_ids) loop
        begin
            perform leoflow_core.create_run(
                p_dag_id => p_dag_ids[i], p_run_id => p_run_ids[i], p_run_type => 'scheduled',
                p_logical_date => p_starts[i], p_data_interval_start => p_starts[i],
                p_data_interval_end => p_ends[i], p_run_after => p_run_afters[i], p_triggered_by => 'timetable'
            );
        exception when others then
            if sqlstate not like 'LF%' then
                raise;
            end if;
            item := i;
            code := sqlstate;
            message := sqlerrm;
            return next;
        end;
    end loop;
end
$$;
comment on function leoflow_core.create_due_runs(text[], text[], timestamptz[], timestamptz[], timestamptz[]) is
'Creates one scheduled run for each of a batch of DAGs.';
