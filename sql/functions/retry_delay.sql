-- Seconds until the next try, by Airflow's formula (models/taskinstance.py, next_retry_datetime) with its jitter:
-- the SHA-1 of "dag_id#task_id#logical_date#try_number" modulo the unjittered delay.
-- Locks: none. Callers: schedule_retries.
create or replace function leoflow_core.retry_delay(
    p_dag_id text, p_task_id text, p_logical_date timestamptz, p_try_number int,
    p_delay float8, p_multiplier float8, p_max_delay float8
) returns float8 language plpgsql immutable as $$
declare
    v_longest constant float8 := 24 * 3600; -- MAX_RETRY_DELAY
    v_multiplier float8 := case when coalesce(p_multiplier, 0) = 0 then 1 else p_multiplier end;
    v_minimum numeric;
    v_hash bytea;
    v_rest numeric := 0;
    v_delay float8 := p_delay;
begin
    if v_multiplier > 0 and v_multiplier <> 1 then
        begin
            v_minimum := greatest(ceil(p_delay * power(v_multiplier, p_try_number - 1)), 1)::numeric;
        exception when numeric_value_out_of_range then
            v_minimum := v_longest;
        end;
        v_hash := leoflow_core.sha1(convert_to(
            p_dag_id || '#' || p_task_id || '#' || coalesce(leoflow_core.isoformat(p_logical_date, ' '), 'None')
            || '#' || p_try_number, 'UTF8'
        ));
        for i in 0 .. 19 loop
            v_rest := mod(v_rest * 256 + get_byte(v_hash, i), v_minimum);
        end loop;
        v_delay := least(v_minimum + v_rest, v_longest);
        if coalesce(p_max_delay, 0) > 0 then
            v_delay := least(v_delay, p_max_delay);
        end if;
    end if;
    return v_delay;
end
$$;
comment on function leoflow_core.retry_delay(text, text, timestamptz, int, float8, float8, float8) is
'Seconds until the next try, by Airflow''s formula.';
