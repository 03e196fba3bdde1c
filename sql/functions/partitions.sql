-- Creates the weekly partitions of XComs, logs, history, the audit log and asset events for the coming weeks. Rows that
-- came before their partition are in the default one, which is moved aside for it. Returns how many it created.
-- Locks: the maintenance advisory lock, tried; an exclusive lock on the parent for a moment, given up after 2 s.
-- Callers: scheduler.
create or replace function leoflow_core.maintain_partitions(p_weeks int default 3) returns int language plpgsql as $$
declare
    v_week timestamptz := date_trunc('week', clock_timestamp(), 'UTC');
    v_table text;
    v_name text;
    v_from text;
    v_to text;
    v_made int := 0;
begin
    if not pg_try_advisory_xact_lock(leoflow_core.lock_class('maintain'), 1) then
        return 0;
    end if;
    perform set_config('lock_timeout', '2s', true);
    foreach v_table in array leoflow_core.partitioned_tables() loop
        for i in 0 .. p_weeks loop
            v_name := format('%s_%s', v_table, to_char((v_week + i * interval '7 days') at time zone 'UTC', 'YYYYMMDD'));
            continue when to_regclass('leoflow_core.' || v_name) is not null;
            if leoflow_core.partition_key(v_table) = 'created_at' then
                v_from := (v_week + i * interval '7 days')::text;
                v_to := (v_week + (i + 1) * interval '7 days')::text;
            else
                v_from := leoflow_core.run_key_at(v_week + i * interval '7 days')::text;
                v_to := leoflow_core.run_key_at(v_week + (i + 1) * interval '7 days')::text;
            end if;
            begin
                perform leoflow_core.add_partition(v_table, v_name, v_from, v_to);
                v_made := v_made + 1;
            exception when lock_not_available then
                return v_made; -- busy: the next turn tries again
            end;
        end loop;
    end loop;
    return v_made;
end
$$;
comment on function leoflow_core.maintain_partitions(int) is 'Creates the weekly partitions of the coming weeks.';

-- The tables with weekly partitions.
-- Locks: none. Callers: maintain_partitions, drop_old_weeks.
create or replace function leoflow_core.partitioned_tables() returns text[] language sql immutable parallel safe as $$
    select array[
        'xcom', 'task_log', 'audit_log', 'task_attempt_history', 'task_instance_history', 'task_instance_extra_history',
        'asset_event', 'asset_event_alias', 'dag_run_asset_event'
    ]
$$;
comment on function leoflow_core.partitioned_tables() is 'The tables with weekly partitions.';

-- The column that a table is partitioned by. Locks: none. Callers: maintain_partitions, drop_old_weeks.
create or replace function leoflow_core.partition_key(p_table text) returns text language sql immutable as $$
    select case when p_table in ('audit_log', 'asset_event', 'asset_event_alias') then 'created_at' else 'run_key' end
$$;
comment on function leoflow_core.partition_key(text) is 'The column that a table is partitioned by.';

-- Adds one partition, taking its rows out of the default partition. Locks: the parent, exclusively, for a moment.
-- Callers: maintain_partitions.
create or replace function leoflow_core.add_partition(p_table text, p_name text, p_from text, p_to text) returns void
language plpgsql as $$
declare
    v_key text := leoflow_core.partition_key(p_table);
begin
    execute format('lock table leoflow_core.%I in share row exclusive mode', p_table);
    execute format('create table leoflow_core.%I (like leoflow_core.%I including defaults including constraints)', p_name, p_table);
    execute format(
        'with moved as (delete from leoflow_core.%I where %I >= %L and %I < %L returning *) '
        'insert into leoflow_core.%I select * from moved',
        p_table || '_default', v_key, p_from, v_key, p_to, p_name
    );
    execute format(
        'alter table leoflow_core.%I attach partition leoflow_core.%I for values from (%L) to (%L)',
        p_table, p_name, p_from, p_to
    );
end
$$;
comment on function leoflow_core.add_partition(text, text, text, text) is 'Adds one partition.';
