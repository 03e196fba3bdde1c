-- Creates a backfill with all its runs in one transaction: new ones queued, existing ones cleared where they are to be
-- run again, each date with its place or the reason why there is no run. p_logical_dates and its two companions are the
-- runs of the schedule in the range, oldest first, all over already; of a schedule of partitions the dates are the
-- moments from which its runs may start, and the last two arrays are given (see plan_backfill). start_runs starts them.
-- Raises LF404, LF409 (the DAG has an unfinished backfill), LF422.
-- Locks: the DAG's row; a run that is cleared as lock_run. Wake workers afterwards.
-- Callers: API.
create or replace function leoflow_core.create_backfill(
    p_dag_id text,
    p_from timestamptz,
    p_to timestamptz,
    p_logical_dates timestamptz[],
    p_interval_ends timestamptz[],
    p_run_afters timestamptz[],
    p_reprocess text default 'none',
    p_backwards boolean default false,
    p_max_active_runs int default 10,
    p_conf jsonb default null,
    p_latest_version boolean default true,
    p_user text default null,
    p_partition_keys text[] default null,
    p_partition_dates timestamptz[] default null
) returns bigint language plpgsql as $$
#variable_conflict use_column
declare
    v_dag_key int;
    v_backfill bigint;
    v_again record;
begin
    perform leoflow_core.validate_run(p_conf);
    v_dag_key := leoflow_core.check_backfill(
        p_dag_id, p_from, p_to, p_reprocess, p_backwards, p_max_active_runs, coalesce(cardinality(p_logical_dates), 0)
    );
    perform from leoflow_core.dag as d where d.dag_key = v_dag_key for no key update;
    if exists (select from leoflow_core.backfill as b where b.dag_key = v_dag_key and b.completed_at is null) then
        perform leoflow_core.reject('LF409', format('There is already a running backfill for dag %s', p_dag_id),
            'wait for it, or cancel it');
    end if;
    insert into leoflow_core.backfill (
        dag_key, from_date, to_date, dag_run_conf, reprocess_behavior, run_backwards, run_on_latest_version,
        max_active_runs, triggering_user_name
    ) values (
        v_dag_key, p_from, p_to, p_conf, p_reprocess, p_backwards, p_latest_version, p_max_active_runs,
        coalesce(p_user, session_user::text)
    ) returning backfill_key into v_backfill;
    insert into leoflow_core.backfill_run (
        backfill_key, sort_ordinal, logical_date, partition_key, run_key, exception_reason
    )
    select
        v_backfill, p.sort_ordinal, p.logical_date, p.partition_key,
        case when p.exception_reason is null then p.run_key end, p.exception_reason
    from leoflow_core.plan_backfill(v_dag_key, p_logical_dates, p_reprocess, p_backwards, p_partition_keys) as p;

    for v_again in
        select x.sort_ordinal, r.run_key, r.run_id
        from leoflow_core.backfill_run as x
        join leoflow_core.dag_run as r on r.run_key = x.run_key
        where x.backfill_key = v_backfill
        order by r.run_key
    loop
        perform leoflow_core.lower_watermark(v_again.run_key);
        perform leoflow_core.clear_whole_run(v_again.run_key, p_latest_version);
        update leoflow_core.dag_run as r set
            backfill_key = v_backfill, backfill_ordinal = v_again.sort_ordinal, run_type = 'backfill',
            triggered_by = 'backfill', conf = coalesce(p_conf, r.conf)
        where r.run_key = v_again.run_key;
    end loop;
    perform leoflow_core.insert_backfill_runs(
        v_backfill, p_logical_dates, p_interval_ends, p_run_afters, p_partition_keys, p_partition_dates
    );
    perform leoflow_core.write_audit('create_backfill', p_user, p_dag_id, p_extra => jsonb_build_object(
        'backfill_id', v_backfill, 'from_date', p_from, 'to_date', p_to, 'reprocess_behavior', p_reprocess,
        'run_backwards', p_backwards, 'max_active_runs', p_max_active_runs, 'dates', cardinality(p_logical_dates)
    ));
    perform leoflow_core.complete_backfills(array[v_backfill]);
    return v_backfill;
end
$$;
comment on function leoflow_core.create_backfill(
    text, timestamptz, timestamptz, timestamptz[], timestamptz[], timestamptz[], text, boolean, int, jsonb, boolean, text,
    text[], timestamptz[]
) is 'Creates a backfill with all its runs.';

-- Makes the queued runs of a backfill's free dates, with their task instances, in one statement each. A date whose run
-- somebody else makes at this moment is in flight.
-- Locks: only its own new rows. Callers: create_backfill.
create or replace function leoflow_core.insert_backfill_runs(
    p_backfill_key bigint, p_logical_dates timestamptz[], p_interval_ends timestamptz[], p_run_afters timestamptz[],
    p_partition_keys text[] default null, p_partition_dates timestamptz[] default null
) returns void language plpgsql
set jit = off set plan_cache_mode = auto -- thousands of rows or one: planned for what it gets
as $$
#variable_conflict use_column
declare
    v_backfill leoflow_core.backfill;
    v_version leoflow_core.dag_version;
    v_schedule jsonb;
    v_new bigint[];
    v_now timestamptz := clock_timestamp();
begin
    select b.* into strict v_backfill from leoflow_core.backfill as b where b.backfill_key = p_backfill_key;
    select v.* into strict v_version
    from leoflow_core.dag as d
    join leoflow_core.dag_version as v on v.version_key = d.current_version_key
    where d.dag_key = v_backfill.dag_key;
    select d.schedule into v_schedule from leoflow_core.dag as d where d.dag_key = v_backfill.dag_key;
    with made as (
        insert into leoflow_core.dag_run (
            run_key, dag_key, version_key, run_id, run_type, state, remaining, open_slots, instance_count, is_gated,
            logical_date, data_interval_start, data_interval_end, run_after, queued_at, conf, triggered_by, triggering_user_name,
            backfill_key, backfill_ordinal, partition_key, partition_date
        )
        select
            leoflow_core.next_run_key(), v_backfill.dag_key, v_version.version_key,
            'backfill__' || leoflow_core.isoformat(d.run_after)
                || leoflow_core.partition_suffix(v_schedule, 'backfill', d.partition_key),
            'backfill', 'queued', v_version.counted_count, v_version.end_slots, v_version.instance_count,
            leoflow_core.is_gated_version(v_version.version_key), x.logical_date, x.logical_date,
            case when x.logical_date is not null then d.interval_end end,
            d.run_after, v_now, coalesce(v_backfill.dag_run_conf, '{}'), 'backfill', v_backfill.triggering_user_name,
            p_backfill_key, x.sort_ordinal, d.partition_key, d.partition_date
        from (
            select x.* from leoflow_core.backfill_run as x
            where x.backfill_key = p_backfill_key and x.run_key is null and x.exception_reason is null
            order by x.sort_ordinal
        ) as x
        join unnest(p_logical_dates, p_interval_ends, p_run_afters, p_partition_keys, p_partition_dates) with ordinality
            as d(logical_date, interval_end, run_after, partition_key, partition_date, place)
            on d.place = case
                when v_backfill.run_backwards then cardinality(p_logical_dates) + 1 - x.sort_ordinal else x.sort_ordinal
            end
        order by x.sort_ordinal
        on conflict do nothing
        returning run_key, backfill_ordinal
    ),
    told as (
        update leoflow_core.backfill_run as x set
            run_key = m.run_key, exception_reason = case when m.run_key is null then 'in flight' end
        from leoflow_core.backfill_run as y
        left join made as m on m.backfill_ordinal = y.sort_ordinal
        where y.backfill_key = p_backfill_key and y.run_key is null and y.exception_reason is null
            and x.backfill_key = y.backfill_key and x.sort_ordinal = y.sort_ordinal
        returning x.run_key
    )
    select array_agg(t.run_key order by t.run_key) filter (where t.run_key is not null) into v_new from told as t;
    if v_new is null then
        return;
    end if;
    perform leoflow_core.add_instances(v_new, v_version.version_key);
    if v_version.has_slotted then
        perform leoflow_core.open_join_counters(v_new);
    end if;
    if v_version.has_callbacks then
        perform leoflow_core.prepare_callbacks(n.run_key) from unnest(v_new) as n(run_key);
    end if;
end
$$;
comment on function leoflow_core.insert_backfill_runs(
    bigint, timestamptz[], timestamptz[], timestamptz[], text[], timestamptz[]
) is
'Makes the queued runs of a backfill''s free dates.';
