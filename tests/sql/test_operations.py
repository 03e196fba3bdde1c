"""What operators do: clear, mark, cancel, delete; each at once, fenced and audited."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from leoflow import engine
from leoflow.engine import LogChunk
from tests.sql import invariants
from tests.sql.dags import (
    Connection,
    chain,
    dag,
    drain,
    new_worker,
    outcome,
    run_of,
    run_state,
    scalar,
    states,
    task,
)

pytestmark = pytest.mark.anyio


async def test_clearing_a_failed_task_with_its_downstream_runs_the_rest(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("etl", "a", "b", "c"))
    await drain(connection, worker, {"b": "failed"})
    assert await run_state(connection, run) == "failed"
    planned = await engine.clear_tasks(connection, "etl", run.run_id, ["b"], downstream=True, dry_run=True)
    assert len(planned) == 2
    assert (await states(connection, run))["b"] == "failed"
    assert await engine.clear_tasks(connection, "etl", run.run_id, ["b"], downstream=True, user="ann") == planned
    assert await run_state(connection, run) == "queued"
    assert await drain(connection, worker) == ["b", "c"]
    assert await run_state(connection, run) == "success"
    entry = "select owner, task_id, map_index, extra -> 'tasks' from leoflow.audit_log where event = 'clear'"
    assert await (await connection.execute(entry)).fetchall() == [("ann", "b", None, ["b"])]
    cursor = await connection.execute(
        "select try_number, state from leoflow.task_attempts where task_id = 'b' order by try_number"
    )
    assert await cursor.fetchall() == [(1, "failed"), (2, "success")]


async def test_a_queued_run_with_nothing_left_to_do_ends_when_it_starts(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a")]))
    await drain(connection, worker)
    await engine.clear_tasks(connection, "d", run.run_id, ["a"])
    assert await run_state(connection, run) == "queued"
    await engine.mark_tasks(connection, "d", run.run_id, ["a"], "success")
    assert await drain(connection, worker) == []
    assert await run_state(connection, run) == "success"


async def test_a_running_run_set_to_queued_starts_again_at_once(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("d", "a", "b"))
    [claimed] = await engine.claim(connection, worker, 1)
    started = await scalar(connection, "select start_date from leoflow_core.dag_run")
    await engine.set_run_state(connection, "d", run.run_id, "queued")
    assert await scalar(
        connection, "select start_date > %s and start_date >= queued_at from leoflow_core.dag_run", started
    )
    assert not (await engine.finish(connection, worker, [outcome(claimed)])).stale
    assert await drain(connection, worker) == ["b"]
    assert await run_state(connection, run) == "success"


async def test_always_starts_at_once_whatever_its_setups_do(connection: Connection) -> None:
    tasks = [task("prepare", is_setup=True), task("middle", "prepare"), task("x", "middle", trigger_rule="always")]
    run = await run_of(connection, dag("d", tasks))
    assert (await states(connection, run))["x"] == "scheduled"


async def test_clearing_only_failed_ones_finds_them_everywhere(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a"), task("b"), task("c", "a", "b")]))
    await drain(connection, worker, {"b": "failed"})
    found = await engine.clear_tasks(connection, "d", run.run_id, only_failed=True)
    assert len(found) == 2
    assert await drain(connection, worker) == ["b", "c"]


async def test_a_cleared_run_older_than_the_watermark_is_claimed(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a")]))
    await drain(connection, worker)
    assert await engine.refresh_watermark(connection) > 0
    await run_of(connection, dag("other", [task("z")]))
    await engine.refresh_watermark(connection)
    await engine.clear_tasks(connection, "d", run.run_id)
    assert sorted(await drain(connection, worker)) == ["a", "z"]


async def test_the_next_timer_is_the_soonest_of_instances_and_runs(connection: Connection) -> None:
    worker = await new_worker(connection)
    now = await scalar(connection, "select clock_timestamp()")
    await run_of(connection, dag("d", [task("a", retries=1, retry_delay_seconds=1800.0)]))
    await drain(connection, worker, {"a": "failed"})
    retry = await scalar(connection, "select min(due_at) from leoflow_core.task_instance")
    for run_id, after, soonest in (
        ("later", now + timedelta(hours=1), retry),
        ("sooner", now + timedelta(minutes=9), None),
    ):
        await engine.create_run(connection, "d", run_id=run_id, run_after=after)
        assert await engine.next_due(connection) == (soonest or after)


async def test_clearing_a_running_task_stops_the_attempt_and_starts_another(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a"), task("b", "a")]))
    (one,) = await engine.claim(connection, worker, 1)
    with pytest.raises(psycopg.Error) as error:
        await engine.clear_tasks(connection, "d", run.run_id, prevent_running=True)
    assert error.value.sqlstate == "LF409"
    await engine.clear_tasks(connection, "d", run.run_id, ["a"])
    assert (await states(connection, run))["a"] == "restarting"
    assert await engine.lost_attempts(connection, worker, [one.ref]) == [one.attempt_id]
    assert not await engine.put_xcom(connection, one.ref, "late", b"1")
    result = await engine.finish(connection, worker, [outcome(one, "failed")])
    assert result.ready
    assert await drain(connection, worker) == ["a", "b"]
    assert await run_state(connection, run) == "success"


async def test_clearing_past_and_future_reaches_the_neighbour_runs(connection: Connection) -> None:
    worker = await new_worker(connection)
    spec = dag("d", [task("a")])
    day = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(3):
        await run_of(connection, spec, run_id=f"r{number}", logical_date=day + timedelta(days=number))
    await drain(connection, worker)
    assert len(await engine.clear_tasks(connection, "d", "r1", ["a"], past=True, dry_run=True)) == 2
    assert len(await engine.clear_tasks(connection, "d", "r1", ["a"], future=True, past=True, dry_run=True)) == 3
    assert len(await engine.clear_tasks(connection, "d", start=day, end=day + timedelta(days=1), dry_run=True)) == 2


async def test_unknown_names_are_refused(connection: Connection) -> None:
    run = await run_of(connection, dag("d", [task("a")]))
    for call in (
        engine.clear_tasks(connection, "nope", run.run_id),
        engine.clear_tasks(connection, "d", "nope"),
        engine.clear_tasks(connection, "d", run.run_id, ["nope"]),
        engine.mark_tasks(connection, "d", run.run_id, ["nope"], "success"),
        engine.cancel_run(connection, "d", "nope"),
        engine.delete_run(connection, "d", "nope"),
        engine.delete_dag(connection, "nope"),
        engine.set_paused(connection, "nope", True),
        engine.create_run(connection, "nope"),
    ):
        with pytest.raises(psycopg.Error) as error:
            await call
        assert error.value.sqlstate == "LF404"
    with pytest.raises(psycopg.Error) as error:
        await engine.mark_tasks(connection, "d", run.run_id, ["a"], "running")
    assert error.value.sqlstate == "LF422"


async def test_marking_a_failed_task_successful_lets_the_rest_run(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("d", "a", "b", "c"))
    (one,) = await engine.claim(connection, worker, 1)
    await engine.mark_tasks(connection, "d", run.run_id, ["a"], "success", user="ann")
    assert (await engine.finish(connection, worker, [outcome(one)])).stale == [one.attempt_id]
    assert await drain(connection, worker) == ["b", "c"]
    assert await run_state(connection, run) == "success"


async def test_marking_a_late_task_first_does_not_end_the_run_early(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("d", "a", "b"))
    await engine.mark_tasks(connection, "d", run.run_id, ["b"], "success")
    assert await run_state(connection, run) == "running"
    assert await drain(connection, worker) == ["a"]
    assert await run_state(connection, run) == "success"


async def test_marking_failed_propagates_and_ends_the_run(connection: Connection) -> None:
    run = await run_of(connection, chain("d", "a", "b"))
    await engine.mark_tasks(connection, "d", run.run_id, ["a"], "failed")
    assert await states(connection, run) == {"a": "failed", "b": "upstream_failed"}
    assert await run_state(connection, run) == "failed"


async def test_a_cancelled_run_stops_its_attempts(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("d", "a", "b"))
    (one,) = await engine.claim(connection, worker, 1)
    await engine.cancel_run(connection, "d", run.run_id, user="ann")
    assert await states(connection, run) == {"a": "failed", "b": "skipped"}
    assert await run_state(connection, run) == "failed"
    assert await engine.lost_attempts(connection, worker, [one.ref]) == [one.attempt_id]
    assert (await engine.finish(connection, worker, [outcome(one)])).stale == [one.attempt_id]
    assert await scalar(connection, "select count(*) from leoflow_core.gate_token") == 0


async def test_a_run_set_to_success_takes_its_instances_with_it(connection: Connection) -> None:
    run = await run_of(connection, chain("d", "a", "b"))
    assert len(await engine.set_run_state(connection, "d", run.run_id, "success", dry_run=True)) == 2
    await engine.set_run_state(connection, "d", run.run_id, "success")
    assert await states(connection, run) == {"a": "success", "b": "success"}


async def test_a_run_beyond_its_timeout_fails(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("d", "a", "b", dagrun_timeout_seconds=3600.0))
    (one,) = await engine.claim(connection, worker, 1)
    assert await engine.expire_runs(connection) == 0
    await connection.execute("update leoflow_core.dag_run set start_date = start_date - interval '2 hours'")
    assert await engine.expire_runs(connection) == 1
    assert await states(connection, run) == {"a": "skipped", "b": "skipped"}
    assert await run_state(connection, run) == "failed"
    assert (await engine.finish(connection, worker, [outcome(one)])).stale == [one.attempt_id]


async def test_a_deleted_run_leaves_nothing(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("d", "a", "b"))
    await drain(connection, worker)
    with pytest.raises(psycopg.Error) as error:
        await run_of(connection, chain("d", "a", "b"), run_id=run.run_id)
    assert error.value.sqlstate == "LF409"
    await engine.delete_run(connection, "d", run.run_id)
    for table in ("dag_run", "task_instance", "xcom", "gate_token", "join_counter"):
        query = f"select count(*) from leoflow_core.{table}"
        assert await scalar(connection, query) == 0, table


async def test_a_deleted_dag_comes_back_when_it_is_registered(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, chain("d", "a", "b"))
    (one,) = await engine.claim(connection, worker, 1)
    with pytest.raises(psycopg.Error) as error:
        await engine.delete_dag(connection, "d")
    assert error.value.sqlstate == "LF409"
    await engine.finish(connection, worker, [outcome(one)])
    await engine.delete_dag(connection, "d")
    assert await scalar(connection, "select count(*) from leoflow_core.task") == 0
    assert (await engine.register_version(connection, chain("d", "a", "b"))).version_number == 1


async def test_a_trigger_in_a_transaction_that_rolls_back_never_existed(connection: Connection) -> None:
    await engine.register_version(connection, dag("d", [task("a")]))
    async with connection.transaction(force_rollback=True):
        await connection.execute("select leoflow.trigger_dag('d', '{\"x\": 1}')")
        assert await scalar(connection, "select count(*) from leoflow.dag_runs") == 1
    assert await scalar(connection, "select count(*) from leoflow.dag_runs") == 0
    await connection.execute("select leoflow.trigger_dag('d', '{\"x\": 1}', run_id => 'mine')")
    assert await scalar(connection, "select conf ->> 'x' from leoflow.dag_runs where dag_run_id = 'mine'") == "1"


async def test_partitions_take_their_rows_out_of_the_default(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("a")]))
    await drain(connection, worker)
    await connection.execute("select leoflow_core.append_log('{1}', '{0}', '{-1}', '{1}', array['old\n'])")
    assert await scalar(connection, "select count(*) from leoflow_core.xcom_default") == 1
    tables = await scalar(connection, "select cardinality(leoflow_core.partitioned_tables())")
    assert await engine.maintain_partitions(connection) == 4 * tables
    assert await engine.maintain_partitions(connection) == 0
    assert await scalar(connection, "select count(*) from leoflow_core.xcom_default") == 0
    assert await scalar(connection, "select count(*) from leoflow.xcoms") == 1
    await run_of(connection, dag("e", [task("a")]))
    await drain(connection, worker)
    assert await scalar(connection, "select count(*) from leoflow_core.xcom_default") == 0
    await connection.execute(
        "select leoflow_core.append_log(array[run_key], '{0}', '{-1}', '{1}', array[E'{}\\n{}\\n']) "
        "from leoflow_core.dag_run limit 1"
    )
    assert await scalar(connection, "select sum(line_count) from leoflow.task_logs") == 2


async def test_a_log_is_open_until_its_last_lines_are_there_or_its_worker_is_gone(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a"), task("b", "a")]))
    [attempt] = await engine.claim(connection, worker, 1)
    assert not await scalar(connection, "select leoflow_core.log_is_open(%s)", run.run_key), "it has not ended"
    await engine.finish(connection, worker, [outcome(attempt)])
    place = (attempt.run_key, attempt.task_idx, attempt.map_index, attempt.try_number)
    is_open = "select leoflow_core.log_is_open(%s, %s, %s, %s)"
    for is_last in (False, True):
        assert await scalar(connection, is_open, *place)
        assert not await scalar(connection, is_open, *place[:3], 7), "there was no such try"
        chunk = LogChunk(*place, "{}\n", 1, attempt.attempt_id, is_last)
        await engine.append_log(connection, [chunk])
    assert not await scalar(connection, is_open, *place)
    await drain(connection, worker)
    assert await scalar(connection, "select leoflow_core.log_is_open(%s)", run.run_key), "the one of b"
    await connection.execute("select leoflow_core.retire_worker(%s)", (worker,))
    assert not await scalar(connection, "select leoflow_core.log_is_open(%s)", run.run_key)


async def test_retention_deletes_old_finished_runs_only(connection: Connection) -> None:
    worker = await new_worker(connection)
    await run_of(connection, dag("d", [task("a")]))
    await drain(connection, worker)
    open_run = await run_of(connection, dag("d", [task("a")]))
    for table in ("dag_run", "task_instance", "xcom"):
        query = f"update leoflow_core.{table} set run_key = run_key - (86400000::bigint * 60 << 20)"
        await connection.execute(query)
    await connection.execute("update leoflow_core.dag_run set end_date = end_date - interval '60 days'")
    assert await engine.retain(connection, timedelta(days=90)) == 0
    assert await engine.retain(connection, timedelta(days=30)) == 1
    assert await scalar(connection, "select run_id from leoflow_core.dag_run") == open_run.run_id
    assert await scalar(connection, "select count(*) from leoflow_core.xcom") == 0


async def test_what_wakes_workers_stays_durable(connection: Connection) -> None:
    await engine.register_version(connection, dag("d", [task("a")]))
    await new_worker(connection)
    await connection.execute("update leoflow_core.worker set is_idle = true")
    await connection.execute("set synchronous_commit = on")  # the tests' server does without
    durable = "show synchronous_commit"
    async with connection.transaction():
        await connection.execute("select leoflow.trigger_dag('d')")
        assert await (await connection.execute(durable)).fetchone() == ("on",)
    async with connection.transaction():
        await connection.execute("select leoflow_core.wake_workers()")
        assert await (await connection.execute(durable)).fetchone() == ("off",), "a bare hint need not wait"


async def test_marking_in_an_ended_run_leaves_no_counters(connection: Connection) -> None:
    wide = [task(f"t{n}") for n in range(70)]
    run = await run_of(connection, dag("d", [*wide, task("end", *(one["task_id"] for one in wide))]))
    await drain(connection, await new_worker(connection), {"t0": "failed"})
    assert await run_state(connection, run) == "failed"
    await engine.mark_tasks(connection, "d", run.run_id, ["end"], "skipped")
    assert await scalar(connection, "select count(*) from leoflow_core.join_counter") == 0


async def test_what_follows_a_deleted_instance_does_not_wait_for_ever(connection: Connection) -> None:
    """In Airflow it keeps no state, and the run is failed as deadlocked."""
    worker = await new_worker(connection)
    tasks = [task("a"), task("b"), task("all", "a", "b"), task("done", "a", "b", trigger_rule="all_done")]
    tasks += [task("failed", "a", "b", trigger_rule="all_failed"), task("end", "all", trigger_rule="always")]
    run = await run_of(connection, dag("d", tasks))
    await connection.execute("select leoflow_core.api_delete_instance('d', %s, 'a', -1)", (run.run_id,))
    await drain(connection, worker)
    assert await states(connection, run) == {
        "a": "removed",
        "b": "success",
        "all": "upstream_failed",
        "done": "success",
        "failed": "skipped",
        "end": "success",
    }
    assert await run_state(connection, run) == "success"
    await invariants.check(connection)


@pytest.mark.parametrize(
    ("tasks", "found"),
    [
        ('["a"]', ("a", None)),
        ('[["a", 1]]', ("a", 1)),
        ('["a", "b"]', (None, None)),
        ("[]", (None, None)),
        (None, (None, None)),
    ],
)
async def test_an_action_on_one_task_is_found_among_its_events(
    connection: Connection, tasks: str | None, found: tuple[str | None, int | None]
) -> None:
    await connection.execute("select leoflow_core.audit_tasks('clear', 'ann', 'd', 'r', %s, '{}')", (tasks,))
    assert await (await connection.execute("select task_id, map_index from leoflow.audit_log")).fetchone() == found
