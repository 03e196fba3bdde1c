-- Reads and small writes of running attempts: the operations of the task execution API.

-- name: xcom
-- One value by its ids; no row when it was never pushed.
select xcom.value
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key and dag_run.run_id = %(run_id)s
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on
        xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx
        and xcom.map_index = %(map_index)s and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s;

-- name: xcom_including_prior_dates
-- The value of this run, else of the latest earlier run that has one.
select xcom.value
from leoflow_core.dag
join leoflow_core.dag_run as this on this.dag_key = dag.dag_key and this.run_id = %(run_id)s
join leoflow_core.dag_run
    on
        dag_run.dag_key = dag.dag_key
        and (dag_run.run_key = this.run_key or dag_run.logical_date < this.logical_date)
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on
        xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx
        and xcom.map_index = %(map_index)s and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s
order by (dag_run.run_key = this.run_key) desc, dag_run.logical_date desc
limit 1;

-- name: xcom_values_of_task
-- All values of a task in map order: one for a plain task, one per index for a mapped one.
select xcom.value
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key and dag_run.run_id = %(run_id)s
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s
order by xcom.map_index;

-- name: xcom_values_of_task_including_prior_dates
-- The same of this run and of all earlier ones, as Airflow: in map order, of equal ones the latest run's first.
select xcom.value
from leoflow_core.dag
join leoflow_core.dag_run as this on this.dag_key = dag.dag_key and this.run_id = %(run_id)s
join leoflow_core.dag_run
    on
        dag_run.dag_key = dag.dag_key
        and coalesce(dag_run.logical_date, dag_run.run_after) <= coalesce(this.logical_date, this.run_after)
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s
order by xcom.map_index, coalesce(dag_run.logical_date, dag_run.run_after) desc;

-- name: xcom_at_offset
-- The value at a position in map order, or from the end.
select xcom.value
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key and dag_run.run_id = %(run_id)s
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s
order by case when %(backwards)s then -xcom.map_index else xcom.map_index end
offset %(offset)s
limit 1;

-- name: xcom_window
-- Values in map order from a position on, while they stay within a number of bytes; always the first one.
select chosen.value
from (
    select one.value, one.map_index, sum(octet_length(one.value)) over (order by one.map_index) as total
    from (
        select xcom.value, xcom.map_index
        from leoflow_core.dag
        join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key and dag_run.run_id = %(run_id)s
        join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
        join leoflow_core.xcom
            on xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx and xcom.key = %(key)s
        where dag.dag_id = %(dag_id)s
        order by xcom.map_index
        offset %(offset)s
        limit %(limit)s
    ) as one
) as chosen
where chosen.total <= %(bytes)s or chosen.total = octet_length(chosen.value)
order by chosen.map_index;

-- name: xcom_count
select count(*)
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key and dag_run.run_id = %(run_id)s
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.xcom
    on xcom.run_key = dag_run.run_key and xcom.task_idx = task.task_idx and xcom.key = %(key)s
where dag.dag_id = %(dag_id)s;

-- name: reduce_inputs
select page.task_ids, page.lengths, page.document, page.last_idx, page.has_more
from
    leoflow_core.reduce_page(
        %(version_key)s::bigint, %(run_key)s::bigint, %(task_idx)s::int, %(after)s::int, %(max_bytes)s::bigint
    ) as page;

-- name: delete_own_xcom
-- Only while the attempt is the instance's current one.
delete from leoflow_core.xcom
using leoflow_core.task_instance as ti
where
    ti.run_key = %(run_key)s and ti.task_idx = %(task_idx)s and ti.map_index = %(map_index)s
    and ti.attempt_id = %(attempt_id)s
    and xcom.run_key = ti.run_key and xcom.task_idx = ti.task_idx and xcom.map_index = ti.map_index
    and xcom.key = %(key)s;

-- name: variable
select variable.value from leoflow_core.variable where variable.key = %(key)s;

-- name: put_variable
insert into leoflow_core.variable (key, value, description)
values (%(key)s, %(value)s, %(description)s)
on conflict (key) do update
    set
        value = excluded.value, description = coalesce(excluded.description, variable.description),
        updated_at = clock_timestamp();

-- name: delete_variable
delete from leoflow_core.variable where variable.key = %(key)s;

-- name: connection
select connection.conn_type, connection.sealed
from leoflow_core.connection
where connection.connection_id = %(conn_id)s;

-- name: declared_secrets
-- The connections and variables a version's leoflow.yaml declares; null when it declares none, not even an empty list.
select
    nullif(dag_version.spec -> 'connections', 'null') as connections,
    nullif(dag_version.spec -> 'variables', 'null') as variables
from leoflow_core.dag_version
where dag_version.version_key = %(version_key)s;

-- name: audit_refusal
select leoflow_core.write_audit(
    %(event)s, 'task', %(dag_id)s, %(task_id)s, %(run_id)s, %(map_index)s, %(try_number)s,
    jsonb_build_object('name', %(name)s::text)
);

-- name: dag
select
    dag.is_paused, dag.bundle_name, dag.relative_fileloc, array_to_string(dag.owners, ', ') as owners, dag.tags,
    dag.next_logical_date
from leoflow_core.dag
where dag.dag_id = %(dag_id)s;

-- name: dag_run
select
    dag_run.run_key, dag.dag_id, dag_run.run_id, dag_run.logical_date, dag_run.data_interval_start, dag_run.data_interval_end,
    dag_run.run_after, dag_run.start_date, dag_run.end_date, dag_run.clear_number, dag_run.run_type::text,
    dag_run.state::text, dag_run.conf, dag_run.triggering_user_name, dag_run.partition_key, dag_run.note
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
where dag.dag_id = %(dag_id)s and dag_run.run_id = %(run_id)s;

-- name: dag_run_before
-- The latest run before a logical date, of one state if given.
select
    dag_run.run_key, dag.dag_id, dag_run.run_id, dag_run.logical_date, dag_run.data_interval_start, dag_run.data_interval_end,
    dag_run.run_after, dag_run.start_date, dag_run.end_date, dag_run.clear_number, dag_run.run_type::text,
    dag_run.state::text, dag_run.conf, dag_run.triggering_user_name, dag_run.partition_key, dag_run.note
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
where
    dag.dag_id = %(dag_id)s and dag_run.logical_date < %(logical_date)s
    and (%(state)s::text is null or dag_run.state::text = %(state)s)
order by dag_run.logical_date desc
limit 1;

-- name: dag_run_state
select dag_run.state::text
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
where dag.dag_id = %(dag_id)s and dag_run.run_id = %(run_id)s;

-- name: dag_run_count
select count(*)
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
where
    dag.dag_id = %(dag_id)s
    and (%(logical_dates)s::timestamptz[] is null or dag_run.logical_date = any(%(logical_dates)s::timestamptz[]))
    and (%(run_ids)s::text[] is null or dag_run.run_id = any(%(run_ids)s::text[]))
    and (%(states)s::text[] is null or dag_run.state::text = any(%(states)s::text[]));

-- name: previous_successful_dag_run
-- The run before this one by logical date that succeeded.
select earlier.data_interval_start, earlier.data_interval_end, earlier.start_date, earlier.end_date
from leoflow_core.dag_run as this
join leoflow_core.dag_run as earlier
    on earlier.dag_key = this.dag_key and earlier.logical_date < this.logical_date and earlier.state = 'success'
where this.run_key = %(run_key)s
order by earlier.logical_date desc
limit 1;

-- name: task_instances
-- Instances of a DAG by any of Airflow's filters; a task group names its tasks at any depth.
select
    dag_run.run_id, task.task_id, task_instance.map_index, task_instance.state::text, task.operator_name,
    extract(epoch from task_instance.end_date - task_instance.start_date)::float8 as duration
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
join leoflow_core.all_task_instances as task_instance on task_instance.run_key = dag_run.run_key
join leoflow_core.task
    on task.version_key = task_instance.version_key and task.task_idx = task_instance.task_idx
where
    dag.dag_id = %(dag_id)s
    and (%(run_ids)s::text[] is null or dag_run.run_id = any(%(run_ids)s::text[]))
    and (%(logical_dates)s::timestamptz[] is null or dag_run.logical_date = any(%(logical_dates)s::timestamptz[]))
    and (%(task_ids)s::text[] is null or task.task_id = any(%(task_ids)s::text[]))
    and (%(map_index)s::int is null or task_instance.map_index = %(map_index)s)
    and (
        %(task_group_id)s::text is null or task.group_id = %(task_group_id)s
        or starts_with(task.group_id, %(task_group_id)s || '.')
    )
    and (
        %(states)s::text[] is null
        or coalesce(task_instance.state::text, 'null') = any(%(states)s::text[])
    )
order by task.task_id, task_instance.map_index;

-- name: task_instance_count
-- How many instances of a DAG match Airflow's filters.
select count(*)
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
join leoflow_core.all_task_instances as task_instance on task_instance.run_key = dag_run.run_key
join leoflow_core.task
    on task.version_key = task_instance.version_key and task.task_idx = task_instance.task_idx
where
    dag.dag_id = %(dag_id)s
    and (%(run_ids)s::text[] is null or dag_run.run_id = any(%(run_ids)s::text[]))
    and (%(logical_dates)s::timestamptz[] is null or dag_run.logical_date = any(%(logical_dates)s::timestamptz[]))
    and (%(task_ids)s::text[] is null or task.task_id = any(%(task_ids)s::text[]))
    and (%(map_index)s::int is null or task_instance.map_index = %(map_index)s)
    and (
        %(task_group_id)s::text is null or task.group_id = %(task_group_id)s
        or starts_with(task.group_id, %(task_group_id)s || '.')
    )
    and (
        %(states)s::text[] is null
        or coalesce(task_instance.state::text, 'null') = any(%(states)s::text[])
    );

-- name: task_group
-- Whether a DAG has a task group now.
select 1
from leoflow_core.dag
join leoflow_core.task_group on task_group.version_key = dag.current_version_key
where dag.dag_id = %(dag_id)s and task_group.group_id = %(task_group_id)s;

-- name: previous_task_instance
select
    dag_run.run_id, dag_run.logical_date, task_instance.start_date, task_instance.end_date,
    task_instance.state::text, task_instance.try_number,
    extract(epoch from task_instance.end_date - task_instance.start_date)::float8 as duration
from leoflow_core.dag
join leoflow_core.dag_run on dag_run.dag_key = dag.dag_key
join leoflow_core.task on task.version_key = dag_run.version_key and task.task_id = %(task_id)s
join leoflow_core.all_task_instances as task_instance
    on
        task_instance.run_key = dag_run.run_key and task_instance.task_idx = task.task_idx
        and task_instance.map_index = %(map_index)s
where
    dag.dag_id = %(dag_id)s
    and (%(logical_date)s::timestamptz is null or dag_run.logical_date < %(logical_date)s)
    and (%(state)s::text is null or task_instance.state::text = %(state)s)
order by dag_run.logical_date desc nulls last
limit 1;

-- name: task_settings
-- What leoflow.yaml gives the processes of a version's tasks; tasks without any of it are left out.
select
    task.task_idx, task.spec -> 'env' as env, task.spec -> 'resources' as resources,
    task.spec -> 'execution' -> 'attempts_per_process' as attempts_per_process
from leoflow_core.task
where
    task.version_key = %(version_key)s
    and (
        coalesce(task.spec -> 'env', '{}') <> '{}'::jsonb
        or coalesce(task.spec -> 'resources', '{}') <> '{}'::jsonb
        or task.spec -> 'execution' ? 'attempts_per_process'
    );

-- name: attempt_standing
-- Where an attempt stands: whether it is its instance's current one, that one's state and process, for how many seconds
-- it has ended, and whether it was superseded. No row: there is no such instance.
select
    coalesce(ti.attempt_id = %(attempt_id)s, false) as is_current, ti.state::text, ti.hostname, ti.pid,
    coalesce(extract(epoch from clock_timestamp() - ti.end_date), 0)::float8 as ended_seconds,
    exists (
        select from leoflow_core.task_attempt_history as earlier
        where
            earlier.run_key = ti.run_key and earlier.task_idx = ti.task_idx and earlier.map_index = ti.map_index
            and earlier.attempt_id = %(attempt_id)s
    ) as is_superseded
from leoflow_core.all_task_instances as ti
where ti.run_key = %(run_key)s and ti.task_idx = %(task_idx)s and ti.map_index = %(map_index)s;

-- name: ask_person
-- One question per try; asking again takes an earlier answer back.
insert into leoflow_core.hitl_detail (
    run_key, task_idx, map_index, try_number, options, subject, body, defaults, multiple, params, assigned_users
)
select
    ti.run_key, ti.task_idx, ti.map_index, ti.try_number, %(options)s, %(subject)s, %(body)s, %(defaults)s,
    %(multiple)s, %(params)s, %(assigned_users)s
from leoflow_core.task_instance as ti
where
    ti.run_key = %(run_key)s and ti.task_idx = %(task_idx)s and ti.map_index = %(map_index)s
    and ti.attempt_id = %(attempt_id)s
on conflict (run_key, task_idx, map_index, try_number) do update
    set
        responded_at = null, responded_by_id = null, responded_by_name = null, chosen_options = null,
        params_input = '{}'
returning options, subject, body, defaults, multiple, params, assigned_users;

-- name: answer_of_person
select responded_at, responded_by_id, responded_by_name, chosen_options, params_input
from leoflow_core.hitl_detail
where
    run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s
    and try_number = %(try_number)s;

-- name: answer_by_default
-- Only while nobody has answered.
update leoflow_core.hitl_detail
set responded_at = clock_timestamp(), chosen_options = %(chosen_options)s, params_input = %(params_input)s
where
    run_key = %(run_key)s and task_idx = %(task_idx)s and map_index = %(map_index)s
    and try_number = %(try_number)s and responded_at is null
returning responded_at, responded_by_id, responded_by_name, chosen_options, params_input;

-- name: asset
-- The active asset of a name or a uri.
select asset.name, asset.uri, asset.asset_group, asset.extra
from leoflow_core.asset
where
    asset.is_active
    and (%(name)s::text is null or asset.name = %(name)s) and (%(uri)s::text is null or asset.uri = %(uri)s);

-- name: asset_events
-- Events of an asset by name and uri, or of the active asset of either, as the Task SDK's `AssetEventResponse`.
select
    event.id, event.timestamp, event.extra, event.created_dagruns, event.source_task_id, event.source_dag_id,
    event.source_run_id, event.source_map_index, event.partition_key, asset.name, asset.uri, asset.asset_group, asset.extra
from leoflow_core.asset
join leoflow_core.api_asset_events as event on event.asset_id = asset.asset_key
where
    (%(name)s::text is null or asset.name = %(name)s) and (%(uri)s::text is null or asset.uri = %(uri)s)
    and (asset.is_active or (%(name)s::text is not null and %(uri)s::text is not null))
    and (%(after)s::timestamptz is null or event.timestamp >= %(after)s)
    and (%(before)s::timestamptz is null or event.timestamp <= %(before)s)
order by
    case when %(ascending)s then event.timestamp end, case when %(ascending)s then event.id end,
    event.timestamp desc, event.id desc
limit nullif(%(limit)s::bigint, 0);

-- name: asset_events_of_alias
-- Events that came through an alias, likewise.
select
    event.id, event.timestamp, event.extra, event.created_dagruns, event.source_task_id, event.source_dag_id,
    event.source_run_id, event.source_map_index, event.partition_key, asset.name, asset.uri, asset.asset_group, asset.extra
from leoflow_core.asset_alias
join leoflow_core.asset_event_alias on asset_event_alias.alias_key = asset_alias.alias_key
join leoflow_core.api_asset_events as event
    on event.timestamp = asset_event_alias.created_at and event.id = asset_event_alias.event_key
join leoflow_core.asset on asset.asset_key = event.asset_id
where
    asset_alias.name = %(alias_name)s
    and (%(after)s::timestamptz is null or event.timestamp >= %(after)s)
    and (%(before)s::timestamptz is null or event.timestamp <= %(before)s)
order by
    case when %(ascending)s then event.timestamp end, case when %(ascending)s then event.id end,
    event.timestamp desc, event.id desc
limit nullif(%(limit)s::bigint, 0);

-- name: consumed_asset_events
-- The events that made a run, oldest first.
select
    asset.name, asset.uri, asset.extra, event.extra, event.source_task_id, event.source_dag_id, event.source_run_id,
    event.source_map_index,
    coalesce((
        select jsonb_agg(jsonb_build_object('name', asset_alias.name) order by asset_alias.name)
        from leoflow_core.asset_event_alias
        join leoflow_core.asset_alias on asset_alias.alias_key = asset_event_alias.alias_key
        where asset_event_alias.event_key = event.event_key
    ), '[]') as source_aliases,
    event.created_at
from leoflow_core.dag_run_asset_event as consumed
join leoflow_core.asset_event as event
    on event.created_at = consumed.event_at and event.event_key = consumed.event_key
join leoflow_core.asset on asset.asset_key = event.asset_key
where consumed.run_key = %(run_key)s
order by event.created_at, event.event_key;

-- name: inactive_assets
-- The assets among a task's inlets and outlets that are not active.
select distinct leaf.value ->> 'name' as name, leaf.value ->> 'uri' as uri
from leoflow_core.task
cross join
    lateral jsonb_array_elements(
        coalesce(nullif(task.spec -> 'inlets', 'null'), '[]') || coalesce(nullif(task.spec -> 'outlets', 'null'), '[]')
    ) as leaf (value)
where
    task.version_key = %(version_key)s and task.task_idx = %(task_idx)s and leaf.value ->> 'type' = 'asset'
    and not exists (
        select from leoflow_core.asset
        where asset.is_active and asset.name = leaf.value ->> 'name' and asset.uri = leaf.value ->> 'uri'
    );
