-- Refuses what a run cannot be made of because no reader could show it: conf nested too deep, a partition key that is too
-- long, moments outside of the years 1 to 9999. Nulls are fine. Raises LF422, which names the field.
-- Locks: none. Callers: create_run, create_backfill.
create or replace function leoflow_core.validate_run(
    p_conf jsonb, p_partition_key text default null, p_logical_date timestamptz default null,
    p_data_interval_start timestamptz default null, p_data_interval_end timestamptz default null,
    p_run_after timestamptz default null, p_partition_date timestamptz default null
) returns void language plpgsql immutable as $$
declare
    v_field text;
begin
    if leoflow_core.is_too_deep(p_conf) then
        perform leoflow_core.reject('LF422', 'conf is nested more than 200 levels deep',
            'keep deep data in a file or table and name it in conf');
    end if;
    if length(p_partition_key) > 250 then
        perform leoflow_core.reject('LF422', 'partition_key has more than 250 characters', 'shorten it');
    end if;
    v_field := case false
        when leoflow_core.is_showable(p_logical_date) then 'logical_date'
        when leoflow_core.is_showable(p_data_interval_start) then 'data_interval_start'
        when leoflow_core.is_showable(p_data_interval_end) then 'data_interval_end'
        when leoflow_core.is_showable(p_run_after) then 'run_after'
        when leoflow_core.is_showable(p_partition_date) then 'partition_date' end;
    if v_field is not null then
        perform leoflow_core.reject('LF422', format('%s is outside of the years 1 to 9999', v_field),
            'for example 2026-01-31T06:00:00+00:00');
    end if;
end
$$;
comment on function leoflow_core.validate_run(
    jsonb, text, timestamptz, timestamptz, timestamptz, timestamptz, timestamptz
) is 'Refuses what a run cannot be made of because no reader could show it.';
