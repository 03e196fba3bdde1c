"""What must hold after every step, asked in SQL alone. Each query returns the rows that break a rule."""

from typing import LiteralString

from tests.sql.dags import Connection

INVARIANTS: dict[str, LiteralString] = {
    "a run is terminal exactly when all its instances are": """
        select r.run_key, r.state from leoflow_core.dag_run as r
        where r.state <> 'queued' and (r.state in ('success', 'failed')) <> (
            not exists (
                select from leoflow_core.all_task_instances as t
                where t.run_key = r.run_key and not leoflow_core.is_final(t.state)
            )
        )
    """,
    "what is claimable is scheduled, and the other way round": """
        select t.run_key, t.task_idx, t.state from leoflow_core.task_instance as t
        join leoflow_core.dag_run as r on r.run_key = t.run_key and r.state = 'running'
        join leoflow_core.dag as d on d.dag_key = r.dag_key and not d.is_paused
        where (t.state is not distinct from 'scheduled') <> (num_nonnulls(t.ready_key, t.gate_key) = 1)
    """,
    "an active attempt has an id and a worker, a waiting instance has none": """
        select t.run_key, t.task_idx, t.state, t.attempt_id from leoflow_core.task_instance as t
        where (t.state in ('running', 'queued', 'restarting') and (t.attempt_id is null or t.worker_key is null))
            or ((t.state is null or t.state in ('scheduled', 'up_for_retry')) and t.attempt_id is not null)
    """,
    "attempt ids are never used twice": """
        select attempt_id from (
            select attempt_id from leoflow_core.task_instance where attempt_id is not null
            union all select attempt_id from leoflow_core.task_attempt_history
        ) as a group by attempt_id having count(*) > 1
    """,
    "tokens are held by exactly the active instances that are subject to a limit": """
        select coalesce(t.run_key, g.run_key), coalesce(t.task_idx, g.task_idx), t.state
        from (
            select * from leoflow_core.task_instance where is_gated and state in ('running', 'queued', 'restarting')
        ) as t
        full join leoflow_core.gate_token as g
            on g.run_key = t.run_key and g.task_idx = t.task_idx and g.map_index = t.map_index
        where t.run_key is null or g.run_key is null
    """,
    "no token is below the low watermark, from which on tokens are counted": """
        select g.run_key, g.task_idx from leoflow_core.gate_token as g
        join leoflow_core.low_watermark as w on g.run_key < w.run_key
    """,
    "what is claimable is in a band of priorities that claims look into": """
        select t.run_key, t.task_idx, t.priority from leoflow_core.task_instance as t
        where coalesce(t.ready_key, t.gate_key) is not null and not exists (
            select from leoflow_core.priority_band as b
            where b.queue_key = t.queue_key and b.pool_key = t.pool_key
                and coalesce(t.ready_key, t.gate_key) between b.first_key and b.last_key
        )
    """,
    "no pool is overdrawn but one that was made smaller": """
        select p.name from leoflow_core.pool as p
        join leoflow_core.task_instance as t
            on t.pool_key = p.pool_key and t.state in ('running', 'queued', 'restarting')
        where p.slots >= 0 and not p.is_overdrawn group by p.name, p.slots having sum(t.pool_slots) > p.slots
    """,
    "max_active_tasks is kept": """
        select r.run_key from leoflow_core.dag_run as r
        join leoflow_core.dag_version as v on v.version_key = r.version_key
        join leoflow_core.task_instance as t on t.run_key = r.run_key and t.state in ('running', 'queued', 'restarting')
        group by r.run_key, v.max_active_tasks having count(*) > v.max_active_tasks
    """,
    "max_active_tis_per_dag is kept": """
        select r.dag_key, k.task_id from leoflow_core.dag_run as r
        join leoflow_core.task as k on k.version_key = r.version_key and k.max_active_tis_per_dag is not null
        join leoflow_core.task_instance as t on t.run_key = r.run_key and t.task_idx = k.task_idx
            and t.state in ('running', 'queued', 'restarting')
        group by r.dag_key, k.task_id, k.max_active_tis_per_dag having count(*) > k.max_active_tis_per_dag
    """,
    "max_active_tis_per_dagrun is kept": """
        select r.run_key, k.task_id from leoflow_core.dag_run as r
        join leoflow_core.task as k on k.version_key = r.version_key and k.max_active_tis_per_dagrun is not null
        join leoflow_core.task_instance as t on t.run_key = r.run_key and t.task_idx = k.task_idx
            and t.state in ('running', 'queued', 'restarting')
        group by r.run_key, k.task_id, k.max_active_tis_per_dagrun having count(*) > k.max_active_tis_per_dagrun
    """,
    "max_active_runs is kept": """
        select d.dag_id from leoflow_core.dag as d
        join leoflow_core.dag_run as r on r.dag_key = d.dag_key and r.state = 'running' and r.backfill_key is null
        group by d.dag_id, d.max_active_runs having count(*) > d.max_active_runs
    """,
    "max_active_runs of backfills is kept": """
        select b.backfill_key from leoflow_core.backfill as b
        join leoflow_core.dag_run as r on r.backfill_key = b.backfill_key and r.state = 'running'
        group by b.backfill_key having count(*) > b.max_active_runs
    """,
    "a backfill is over when its runs are": """
        select b.backfill_key from leoflow_core.backfill as b
        where b.completed_at is null and not exists (
            select from leoflow_core.dag_run as r
            where r.backfill_key = b.backfill_key and r.state in ('queued', 'running')
        )
    """,
    "no successor started before its only way to start": """
        select t.run_key, t.task_idx from leoflow_core.task_instance as t
        join leoflow_core.task_edge as e
            on e.version_key = t.version_key and e.downstream_idx = t.task_idx and e.kind = 'd'
        join leoflow_core.task_instance as u on u.run_key = t.run_key and u.task_idx = e.upstream_idx
        where t.trigger_rule = 'all_done' and t.state in ('running', 'scheduled') and not leoflow_core.is_final(u.state)
            and not exists (select from leoflow_core.audit_log as a where a.event = 'clear')
    """,
    "without a state: the last of its upstreams decides it, or its run when it starts": """
        select t.run_key, t.task_idx, t.map_index from leoflow_core.task_instance as t
        join leoflow_core.dag_run as r on r.run_key = t.run_key
        where t.state is null and r.state <> 'queued' and not exists (
            select from leoflow_core.task_edge as e
            join leoflow_core.task_instance as u on u.run_key = t.run_key and u.task_idx = e.upstream_idx
            where e.version_key = t.version_key and e.downstream_idx = t.task_idx and not leoflow_core.is_final(u.state)
        )
    """,
    "scheduled: a claim takes it, now or once its DAG is unpaused": """
        select t.run_key, t.task_idx, t.map_index, r.state from leoflow_core.task_instance as t
        join leoflow_core.dag_run as r on r.run_key = t.run_key
        join leoflow_core.dag as d on d.dag_key = r.dag_key
        where t.state = 'scheduled'
            and (r.state <> 'running' or (num_nonnulls(t.ready_key, t.gate_key) = 0 and not d.is_paused))
    """,
    "queued: reap places it again when it is not started in time": """
        select t.run_key, t.task_idx, t.map_index from leoflow_core.task_instance as t
        where t.state = 'queued' and t.due_at is null
    """,
    "queued, running, restarting: its worker's lease ends, and reap has not been there yet": """
        select t.run_key, t.task_idx, t.map_index, t.state from leoflow_core.task_instance as t
        left join leoflow_core.worker as w on w.worker_key = t.worker_key
        where t.state in ('queued', 'running', 'restarting') and (w.lease_until is null or w.reaped_at is not null)
    """,
    "up_for_retry, up_for_reschedule: promote_due, when it is due": """
        select t.run_key, t.task_idx, t.map_index, t.state from leoflow_core.task_instance as t
        where t.state in ('up_for_retry', 'up_for_reschedule') and t.due_at is null
    """,
    "deferred, or waiting for a person: a trigger that is free, or that a triggerer holds under a lease": """
        select t.run_key, t.task_idx, t.map_index, g.trigger_key, g.triggerer_key from leoflow_core.task_instance as t
        left join leoflow_core.trigger as g
            on g.run_key = t.run_key and g.task_idx = t.task_idx and g.map_index = t.map_index
            and g.attempt_id = t.attempt_id and g.is_armed
        left join leoflow_core.process as p
            on p.process_key = g.triggerer_key and p.ended_at is null and p.lease_until is not null
        where t.state = 'deferred' and (
            g.trigger_key is null or (g.triggerer_key is not null and p.process_key is null)
            or (g.timeout_seconds is not null and t.due_at is null)
        )
    """,
    "a queued run: start_runs, which looks at its DAG and its backfill": """
        select r.run_key, r.state from leoflow_core.dag_run as r
        left join leoflow_core.dag as d on d.dag_key = r.dag_key
        left join leoflow_core.backfill as b on b.backfill_key = r.backfill_key
        where r.state = 'queued'
            and (d.dag_key is null or (r.backfill_key is not null and b.dag_key is distinct from r.dag_key))
    """,
    "a requested callback: pump_outbox makes a job of every kind there is": """
        select o.outbox_key, o.kind from leoflow_core.outbox as o
        where o.run_key is null
            or o.kind not in ('dag_success', 'dag_failure', 'task_failure', 'task_retry', 'deadline')
    """,
    "a running run has an instance that moves": """
        select r.run_key from leoflow_core.dag_run as r
        where r.state = 'running' and not exists (
            select from leoflow_core.task_instance as t
            where t.run_key = r.run_key and t.state is not null and not leoflow_core.is_final(t.state)
        )
    """,
    "finished runs leave no counters": """
        select j.run_key from leoflow_core.join_counter as j
        join leoflow_core.dag_run as r on r.run_key = j.run_key and r.state in ('success', 'failed')
    """,
}


async def check(conn: Connection) -> None:
    """Raise AssertionError naming the first rule that is broken."""
    for name, query in INVARIANTS.items():
        cursor = await conn.execute(query)
        broken = await cursor.fetchall()
        assert not broken, f"{name}: {broken[:5]}"
