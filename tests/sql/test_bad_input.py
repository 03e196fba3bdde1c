"""Whatever comes through an SQL door is refused with the field and a remedy, or bounded; the engine goes on."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest

from leoflow import engine
from tests.sql.dags import (
    Connection,
    dag,
    drain,
    instances,
    literal,
    mapped_group,
    new_worker,
    outcome,
    over,
    result,
    run_of,
    run_state,
    scalar,
    task,
    unlimited,
)

pytestmark = pytest.mark.anyio

LONGEST = timedelta.max.total_seconds()  # a retry delay somebody means as "never"


def nested(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


REFUSED: list[tuple[dict[str, Any], str]] = [
    (dag("d", [task("a", retries=2**31)]), "retries is out of range in task a: 2147483648"),
    (dag("d", [task("a", retries=10**30)]), "retries is out of range in task a"),
    (dag("d", [task("a", retries="many")]), "retries is out of range in task a: many"),
    (dag("d", [task("a", retries=1.5)]), "retries is out of range in task a: 1.5"),
    (dag("d", [task("a", pool_slots=-1)]), "pool_slots is out of range in task a: -1"),
    (dag("d", [task("a", max_active_tis_per_dag=-1)]), "max_active_tis_per_dag is out of range in task a"),
    (dag("d", [task("a", max_active_tis_per_dagrun=2**40)]), "max_active_tis_per_dagrun is out of range in task a"),
    (dag("d", [task("a", retry_delay_seconds=1e300)]), "retry_delay_seconds is out of range in task a"),
    (dag("d", [task("a", execution_timeout_seconds=-1)]), "execution_timeout_seconds is out of range in task a"),
    (dag("d", [task("a", retry_exponential_backoff=-2)]), "retry_exponential_backoff is out of range in task a"),
    (dag("d", [task("a", pool="")]), "the pool of task a must have 1 to 256 characters"),
    (dag("d", [task("a", pool="x" * 257)]), "the pool of task a must have 1 to 256 characters"),
    (dag("d", [task("a", queue="x" * 100_000)]), "the queue of task a must have 1 to 256 characters"),
    (dag("d", [task("a")], max_active_runs=-1), "max_active_runs of the DAG is out of range: -1"),
    (dag("d", [task("a")], max_active_tasks=0), "max_active_tasks of the DAG is out of range: 0"),
    (dag("d", [task("a")], max_active_tasks=2**33), "max_active_tasks of the DAG is out of range"),
    (dag("d", [task("a")], dagrun_timeout_seconds=-1), "dagrun_timeout_seconds of the DAG is out of range"),
    (dag("d", [task("a")], dagrun_timeout_seconds=1e300), "dagrun_timeout_seconds of the DAG is out of range"),
    (dag("d", [task("a")], start_date="yesterday"), "start_date of the DAG is no moment: yesterday"),
    (dag("d", [task("a")], start_date="infinity"), "start_date of the DAG is no moment: infinity"),
    (dag("d", [task("a")], end_date="2026-13-41T00:00:00+00:00"), "end_date of the DAG is no moment"),
    (dag("d", [task("a")], end_date="99999-01-01"), "end_date of the DAG is no moment"),
    (dag("d", [task("a")], timezone="Europe/Atlantis"), "timezone of the DAG is unknown: Europe/Atlantis"),
    (dag("d", [task("a")], timezone=""), "timezone of the DAG is unknown"),
    (dag("d", [task("a", extra={"start_date": "soon"})]), "start_date of task a is no moment: soon"),
    (dag("d", [task("a")], default_args={"a": nested(200)}), "nested more than 200 levels deep"),
    (dag("d", [task("a", xcom_input={"x": ["ghost"]})]), "xcom_input of task a names an unknown task: ghost"),
    (dag("d", [task("a", mapping=over())]), "the mapping of a names no inputs"),
    (dag("d", [task("a", mapping=over(literal(-3)))]), "the mapping of a names no inputs, or inputs without a length"),
    (dag("d", [task("a", mapping={"kind": "expand", "inputs": ["x"]})]), "the mapping of a names no inputs"),
    (dag("d", [task("a", mapping={"kind": "expand", "inputs": [{"type": "literal"}]})]), "inputs without a length"),
    (dag("d", [task("a", mapping=over({"type": "literal", "length": 2**40}))]), "mapped over more than 100000 values"),
    (dag("d", [task("a", mapping=over(result("ghost")))]), "a is mapped over an unknown task: ghost"),
    (dag("d", [task("a", mapping=over(result("a")))]), "cycle: task a is mapped over itself or over what comes after"),
    (dag("d", [task("a", mapping=over(result("b"))), task("b", "a")]), "cycle: task a is mapped over itself"),
    (
        dag("d", [task("a", group_id="g")], task_groups=[{"group_id": "g", "parent_group_id": "g"}]),
        "g is inside itself",
    ),
    (
        dag(
            "d",
            [task("a", group_id="g")],
            task_groups=[mapped_group("g", literal(2), parent_group_id="h"), {"group_id": "h", "parent_group_id": "g"}],
        ),
        "is inside itself",
    ),
    (dag("d", [task("a")], task_groups=[{"group_id": "g", "parent_group_id": "x"}]), "inside an unknown group: x"),
    (dag("d", [task("a")], task_groups=[{"group_id": "g"}, {"group_id": "g"}]), "group_id is empty, too long or used"),
]


async def test_what_cannot_run_is_refused_at_registration_and_leaves_nothing(connection: Connection) -> None:
    await connection.execute("set statement_timeout = '60s'")  # some of these once never returned
    for spec, message in REFUSED:
        with pytest.raises(psycopg.Error) as error:
            await engine.register_version(connection, spec)
        primary = error.value.diag.message_primary or ""
        assert message in primary, (message, primary)
        assert error.value.sqlstate == "LF422", primary
        assert error.value.diag.message_hint, primary
    assert await scalar(connection, "select count(*) from leoflow_core.dag") == 0


async def test_the_longest_times_there_are_hold_nobody_up(connection: Connection) -> None:
    """`timedelta.max` leads beyond the calendar; adding it to a moment once failed the whole batch."""
    await unlimited(connection)
    worker = await new_worker(connection)
    alert = {"reference": {"reference_type": "DagRunQueuedAtDeadline"}, "interval_seconds": LONGEST}
    slow = dag(
        "slow",
        [task("a", retries=1, retry_delay_seconds=LONGEST), task("b")],
        dagrun_timeout_seconds=LONGEST,
        deadlines=[{**alert, "callback": {"path": "m.f", "kwargs": {}}}],
    )
    run, late = (
        await run_of(connection, slow),
        await run_of(connection, dag("late", [task("c")], dagrun_timeout_seconds=0)),
    )
    other = await run_of(connection, dag("other", [task("d")]))
    claimed = {one.task_id: one for one in await engine.claim(connection, worker, 10)}
    ends = [outcome(claimed["a"], "failed"), outcome(claimed["d"])]
    assert not (await engine.finish(connection, worker, ends)).stale
    assert await instances(connection, run) == {"a": "up_for_retry", "b": "running"}
    assert await scalar(connection, "select min(due_at) < now() + interval '100 years' from leoflow_core.task_instance")
    assert await scalar(connection, "select leoflow_core.expire_runs()") == 1
    await connection.execute(
        "select leoflow_core.promote_due(), leoflow_core.miss_deadlines(), leoflow_core.next_due()"
    )
    assert [await run_state(connection, one) for one in (run, late, other)] == ["running", "failed", "success"]


async def test_weights_beyond_32_bits_are_the_largest_there_are(connection: Connection) -> None:
    await unlimited(connection)
    tasks = [task("a", effective_priority=-(2**40)), task("b"), task("c", effective_priority=2**40)]
    await run_of(connection, dag("d", tasks))
    assert await drain(connection, await new_worker(connection), batch=1) == ["c", "b", "a"]


CALLS: list[tuple[LiteralString, str, str]] = [
    ("select leoflow.trigger_dag('d', '[1]')", "LF422", "conf must be a JSON object"),
    (
        "select leoflow.trigger_dag('d', jsonb_build_object('a', (repeat('[', 201) || repeat(']', 201))::jsonb))",
        "LF422",
        "conf is nested more than 200",
    ),
    (
        "select leoflow.trigger_dag('d', null, 'infinity')",
        "LF422",
        "logical_date is outside of the years 1 to 9999",
    ),
    ("select leoflow.trigger_dag('d', null, '4000-01-01 BC')", "LF422", "logical_date is outside of the years"),
    ("select leoflow.trigger_dag('d', null, '10000-01-01')", "LF422", "logical_date is outside of the years"),
    (
        "select leoflow.trigger_dag('d', null, null, repeat('x', 251))",
        "LF422",
        "run_id must have 1 to 250 characters",
    ),
    ("select leoflow.trigger_dag(null)", "LF404", "was not found"),
    ("select leoflow.set_paused('d', null)", "LF422", "p_is_paused must be true or false"),
    ("select leoflow.clear_tasks('d', null, '{\"a\": 1}')", "LF422", "p_tasks must be a JSON array of task ids"),
    ("select leoflow.clear_tasks('d', null, '5')", "LF422", "p_tasks must be a JSON array of task ids"),
    ("select leoflow.clear_tasks('d', null, '[[\"a\", 99999999999]]')", "LF422", "p_tasks must be a JSON array"),
    ("select leoflow.clear_tasks('d', null, '[[\"a\", \"x\"]]')", "LF422", "p_tasks must be a JSON array"),
    ("select leoflow.clear_tasks('d', null, '[null, {\"a\": 1}]')", "LF422", "p_tasks must be a JSON array"),
    ("select leoflow.mark_tasks('d', 'r', '[\"a\"]', 'weird')", "LF422", "a task cannot be marked as weird"),
    ("select leoflow.mark_tasks('d', 'r', '[\"ghost\"]', 'failed')", "LF404", "Task id ghost not found"),
    ("select leoflow.set_run_state('d', 'r', 'weird')", "LF422", "a run cannot be set to weird"),
    ("select leoflow.cancel_run('d', 'ghost')", "LF404", "was not found"),
    ("select leoflow.create_asset_event('ghost')", "LF404", "There is no asset"),
    ("select leoflow.create_asset_event('ghost', extra => '[]')", "LF422", "extra must be a JSON object"),
    ("select leoflow.pause_backfill(-1)", "LF404", "Could not find backfill"),
]


async def test_a_public_function_names_what_is_wrong(connection: Connection) -> None:
    await run_of(connection, dag("d", [task("a")]), run_id="r")
    for query, code, message in CALLS:
        with pytest.raises(psycopg.Error) as error:
            await connection.execute(query)
        assert message in (error.value.diag.message_primary or ""), (query, error.value)
        assert error.value.sqlstate == code, query


async def test_numbers_beyond_64_bits_and_the_deepest_conf_come_back(connection: Connection) -> None:
    conf = {"large": 2**200, "small": 1e-300, "deep": nested(200), "text": "naïve ☃ 任务 '\""}
    run = await run_of(connection, dag("d", [task("a")]), conf=conf)
    assert await scalar(connection, "select conf from leoflow.dag_runs where run_key = %s", run.run_key) == conf


async def test_a_dag_whose_runs_cannot_be_made_costs_no_other_its_run(connection: Connection) -> None:
    alert = {"reference": {"reference_type": "DagRunQueuedAtDeadline"}, "interval_seconds": "soon"}
    schedule = {"type": "cron", "expression": "0 0 * * *", "timezone": "UTC"}
    for name, deadlines in (("bad", [alert]), ("good", [])):
        await engine.register_version(connection, dag(name, [task("a")], schedule=schedule, deadlines=deadlines))
    day = datetime(2026, 1, 1, tzinfo=UTC)
    cursor = await connection.execute(
        "select item, code from leoflow_core.create_due_runs(%s, %s, %s, %s, %s, %s, %s)",
        (["bad", "good"], ["r", "r"], *([[day, day]] * 3), [None, None], [None, None]),
    )
    assert await cursor.fetchall() == [(1, "22P02")]
    cursor = await connection.execute("select dag_id from leoflow.dag_runs")
    assert await cursor.fetchall() == [("good",)]
