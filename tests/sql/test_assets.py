"""Assets in SQL: what makes them active, what an event is, and when events make a run."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from leoflow import engine
from leoflow.engine import Outcome
from tests.sql.assets import (
    alias,
    all_of,
    any_of,
    asset,
    attempt_with,
    change,
    consumer,
    event,
    outlets,
    producer,
    runs,
)
from tests.sql.dags import Connection, dag, new_worker, scalar, task

pytestmark = pytest.mark.anyio

TRUTH = Path(__file__).parents[1] / "truth" / "asset_conditions.json"

A, B, C = asset("a"), asset("b"), asset("c")
NAME_REF = {"type": "name_ref", "name": "a"}
URI_REF = {"type": "uri_ref", "uri": "s3://a"}


async def active(conn: Connection) -> list[tuple[str, str]]:
    cursor = await conn.execute("select name, uri from leoflow.assets where is_active order by asset_id")
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def test_an_event_makes_a_run_that_knows_it(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A)))
    assert (await change(connection, A, events=[event(A, rows=42)])).created == 1
    [(kind, extras)] = await runs(connection, "consumer")
    assert (kind, extras) == ("asset_triggered", [{"rows": 42}])
    cursor = await connection.execute(
        "select dag_run_id, logical_date, data_interval_start, run_after, triggered_by from leoflow.dag_runs"
        " where dag_id = 'consumer'"
    )
    row = await cursor.fetchone()
    assert row is not None
    run_id, logical_date, start, run_after, triggered_by = row
    prefix, _, suffix = run_id.rpartition("_")
    assert prefix == await scalar(connection, "select 'asset_triggered__' || leoflow_core.isoformat(%s)", run_after)
    assert len(suffix) == 8 and suffix.isalnum()
    assert (logical_date, start, triggered_by) == (None, None, "asset")
    cursor = await connection.execute(
        "select source_dag_id, source_task_id, source_run_id, source_map_index, created_dag_runs, queued_dags"
        " from leoflow.asset_events"
    )
    assert await cursor.fetchall() == [("make_a", "make", "r0", -1, [f"consumer/{run_id}"], [])]


async def test_conditions_are_met_as_in_airflow(connection: Connection) -> None:
    """Every expression with every set of changed assets, as Airflow 3.2.2's evaluator answered."""
    truth = json.loads(TRUTH.read_text())
    for leaf in truth["assets"]:
        await connection.execute(
            "insert into leoflow_core.asset (name, uri, is_active) values (%s, %s, %s)",
            (leaf["name"], leaf["uri"], leaf["is_active"]),
        )
    await connection.execute(
        "with l as (insert into leoflow_core.asset_alias (name) values ('resolved') returning alias_key)"
        " insert into leoflow_core.asset_alias_asset select l.alias_key, a.asset_key"
        " from l, leoflow_core.asset a where a.name = any(%s)",
        (truth["resolved"],),
    )
    wrong = []
    for case in truth["cases"]:
        met = await scalar(
            connection,
            "select leoflow_core.asset_condition_met(%s, array_agg(asset_key))"
            " from leoflow_core.asset where name = any(%s)",
            Jsonb(case["expression"]),
            case["changed"],
        )
        if met != case["met"]:
            wrong.append(case)
    assert len(truth["cases"]) > 100
    assert wrong == []


@pytest.mark.parametrize("reference", [NAME_REF, URI_REF], ids=["name", "uri"])
async def test_a_reference_stands_for_the_active_asset(connection: Connection, reference: dict[str, Any]) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(reference, B)))
    created = [(await change(connection, one)).created for one in (A, A, B, B)]
    assert created == [0, 0, 1, 0]


async def test_one_run_takes_all_events_that_wait(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A, B)))
    for number in range(3):
        await change(connection, A, events=[event(A, n=number)])
    await change(connection, B)
    await change(connection, B)
    assert await runs(connection, "consumer") == [("asset_triggered", [{"n": 0}, {"n": 1}, {"n": 2}, {}])]
    assert await scalar(connection, "select count(*) from leoflow_core.asset_queue") == 1


async def test_events_of_a_paused_dag_start_nothing_but_the_next_run_is_told(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A)))
    await engine.set_paused(connection, "consumer", True)
    assert (await change(connection, A, events=[event(A, n=1)])).created == 0
    await engine.set_paused(connection, "consumer", False)
    assert (await engine.create_asset_runs(connection)).created == 0
    await change(connection, A, events=[event(A, n=2)])
    assert await runs(connection, "consumer") == [("asset_triggered", [{"n": 1}, {"n": 2}])]


async def test_a_dag_paused_after_the_event_runs_when_it_is_unpaused(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A, B)))
    await change(connection, A)
    await connection.execute("update leoflow_core.dag set max_active_runs = 0 where dag_id = 'consumer'")
    assert (await change(connection, B)).blocked == 1
    await engine.set_paused(connection, "consumer", True)
    await connection.execute("update leoflow_core.dag set max_active_runs = 1 where dag_id = 'consumer'")
    assert (await engine.create_asset_runs(connection)).created == 0
    await engine.set_paused(connection, "consumer", False)
    assert (await engine.create_asset_runs(connection)).created == 1


async def test_max_active_runs_lets_events_wait_and_merge(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A), max_active_runs=1))
    assert (await change(connection, A, events=[event(A, n=1)])).created == 1
    for number in (2, 3):
        done = await change(connection, A, events=[event(A, n=number)])
        assert (done.created, done.blocked) == (0, 1)
    await connection.execute("update leoflow_core.dag_run set state = 'success' where run_type = 'asset_triggered'")
    assert (await engine.create_asset_runs(connection)).created == 1
    assert await runs(connection, "consumer") == [
        ("asset_triggered", [{"n": 1}]),
        ("asset_triggered", [{"n": 2}, {"n": 3}]),
    ]


async def test_earlier_events_start_nothing_but_the_first_run_is_told(connection: Connection) -> None:
    await change(connection, A, events=[event(A, n=1)])
    await engine.register_version(connection, consumer("consumer", all_of(A)))
    assert (await engine.create_asset_runs(connection)).created == 0
    await change(connection, A, events=[event(A, n=2)])
    await change(connection, A, events=[event(A, n=3)])
    assert await runs(connection, "consumer") == [
        ("asset_triggered", [{"n": 1}, {"n": 2}]),
        ("asset_triggered", [{"n": 3}]),
    ]


async def test_a_new_schedule_is_evaluated_with_what_waits(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A, B, C)))
    await change(connection, A)
    await change(connection, C)
    await engine.register_version(connection, consumer("consumer", all_of(A)))
    assert (await engine.create_asset_runs(connection)).created == 1
    assert len((await runs(connection, "consumer"))[0][1]) == 1  # the event of what is no longer asked for is forgotten


async def test_a_schedule_without_assets_forgets_what_waited(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A, B)))
    await change(connection, A)
    await engine.register_version(connection, dag("consumer", [task("use")]))
    assert await scalar(connection, "select count(*) from leoflow_core.asset_queue") == 0


async def test_an_alias_makes_events_of_what_the_task_resolved_it_to(connection: Connection) -> None:
    found, other = asset("found"), asset("other")
    await engine.register_version(connection, consumer("by_alias", all_of(alias("x"))))
    await engine.register_version(connection, consumer("by_asset", all_of(found)))
    told = [event(found, "x", n=1), event(found, "x", n=1), event(other, "x", n=2), event(other, "not an outlet", n=3)]
    assert (await change(connection, alias("x"), events=told)).created == 2
    assert await runs(connection, "by_alias") == [("asset_triggered", [{"n": 1}, {"n": 2}])]
    assert await runs(connection, "by_asset") == [("asset_triggered", [{"n": 1}])]
    cursor = await connection.execute("select name, is_active, extra, aliases from leoflow.assets order by name")
    assert await cursor.fetchall() == [
        ("found", True, {}, ["x"]),
        ("other", False, {"by": "alias"}, ["x"]),  # nobody mentions it, so it is not active
    ]
    cursor = await connection.execute("select name, source_aliases from leoflow.asset_events order by name")
    assert await cursor.fetchall() == [("found", ["x"]), ("other", ["x"])]


async def test_an_alias_without_events_makes_none(connection: Connection) -> None:
    await engine.register_version(connection, consumer("by_alias", all_of(alias("x"))))
    assert (await change(connection, alias("x"))).created == 0
    assert await scalar(connection, "select count(*) from leoflow.asset_events") == 0


async def test_a_plain_event_of_an_aliased_asset_does_not_start_who_waits_for_the_alias(connection: Connection) -> None:
    await engine.register_version(connection, consumer("by_alias", all_of(alias("x"))))
    await change(connection, A, alias("x"), events=[event(A, "x")])
    assert len(await runs(connection, "by_alias")) == 1
    await change(connection, A)
    assert len(await runs(connection, "by_alias")) == 1


async def test_aliases_with_equal_extra_share_an_event(connection: Connection) -> None:
    x, y = alias("x"), alias("y")
    await change(connection, x, y, events=[event(A, "x", n=1), event(A, "y", n=1), event(A, "y", n=2)])
    cursor = await connection.execute("select extra, source_aliases from leoflow.asset_events order by asset_event_id")
    assert await cursor.fetchall() == [({"n": 1}, ["x", "y"]), ({"n": 2}, ["y"])]


async def test_references_make_events_of_active_assets(connection: Connection) -> None:
    await engine.register_version(connection, producer("other", A))
    await change(connection, NAME_REF, URI_REF, {"type": "name_ref", "name": "ghost"}, events=[event(A, n=1)])
    cursor = await connection.execute("select name, extra from leoflow.asset_events")
    assert await cursor.fetchall() == [("a", {"n": 1}), ("a", {"n": 1})]


@pytest.mark.parametrize("state", ["failed", "skipped", "up_for_reschedule"])
async def test_only_success_makes_events(connection: Connection, state: str) -> None:
    attempt = await attempt_with(connection, A)
    worker = await new_worker(connection)
    await engine.finish(connection, worker, [Outcome(attempt.ref, state, outlets=outlets(A))])
    assert await scalar(connection, "select count(*) from leoflow.asset_events") == 0


async def test_a_stale_attempt_makes_no_event(connection: Connection) -> None:
    attempt = await attempt_with(connection, A)
    worker = await new_worker(connection)
    done = Outcome(attempt.ref, "success", outlets=outlets(A))
    await engine.finish(connection, worker, [done])
    result = await engine.finish(connection, worker, [done])
    assert result.stale == [attempt.attempt_id]
    assert await scalar(connection, "select count(*) from leoflow.asset_events") == 1


async def test_an_attempt_that_was_cleared_while_running_makes_no_event(connection: Connection) -> None:
    attempt = await attempt_with(connection, A)
    await engine.clear_tasks(connection, attempt.dag_id, attempt.run_id)
    await engine.finish(connection, await new_worker(connection), [Outcome(attempt.ref, "success", outlets=outlets(A))])
    assert await scalar(connection, "select count(*) from leoflow.asset_events") == 0


async def test_assets_are_active_while_a_dag_mentions_them(connection: Connection) -> None:
    await engine.register_version(connection, producer("one", A, B))
    await engine.register_version(connection, consumer("two", any_of(B, C)))
    assert await active(connection) == [("a", "s3://a"), ("b", "s3://b"), ("c", "s3://c")]
    await engine.register_version(connection, producer("one", B))
    assert [name for name, _ in await active(connection)] == ["b", "c"]
    await engine.deactivate_dag(connection, "two")
    assert [name for name, _ in await active(connection)] == ["b"]
    await engine.delete_dag(connection, "one")
    assert await active(connection) == []
    await engine.register_version(connection, consumer("two", any_of(B, C)))
    assert [name for name, _ in await active(connection)] == ["b", "c"]


async def test_a_conflict_leaves_the_first_active_and_warns_of_the_second(connection: Connection) -> None:
    await engine.register_version(connection, producer("one", asset("a", "s3://1")))
    await engine.register_version(connection, producer("two", asset("a", "s3://2"), asset("b", "s3://1")))
    assert await active(connection) == [("a", "s3://1")]
    cursor = await connection.execute("select dag_id, warning_type, message from leoflow_core.api_dag_warnings")
    assert await cursor.fetchall() == [
        (
            "two",
            "asset conflict",
            'Cannot activate asset Asset(name="a", uri="s3://2", group="asset"); '
            "name is already associated to 's3://1'\n"
            'Cannot activate asset Asset(name="b", uri="s3://1", group="asset"); uri is already associated to \'a\'',
        )
    ]
    assert (await change(connection, asset("a", "s3://2"))).created == 0
    assert await scalar(connection, "select count(*) from leoflow.asset_events") == 0
    await engine.deactivate_dag(connection, "one")
    assert await active(connection) == [("a", "s3://2"), ("b", "s3://1")]
    assert await scalar(connection, "select count(*) from leoflow_core.api_dag_warnings") == 0


async def test_group_and_extra_follow_the_dag(connection: Connection) -> None:
    await engine.register_version(connection, producer("one", asset("a", group="lake", extra={"team": "data"})))
    await engine.register_version(connection, producer("one", asset("a", group="sea", extra={"team": "new"})))
    cursor = await connection.execute('select "group", extra, producing_tasks from leoflow.assets')
    assert await cursor.fetchall() == [("sea", {"team": "new"}, ["one.make"])]


async def test_events_from_outside_are_part_of_the_callers_transaction(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A)))
    with pytest.raises(ZeroDivisionError):
        async with connection.transaction():
            await connection.execute("select leoflow.create_asset_event('a')")
            raise ZeroDivisionError
    assert (await engine.create_asset_runs(connection)).created == 0
    await connection.execute("select leoflow.create_asset_event(uri => 's3://a', extra => '{\"rows\": 7}')")
    assert (await engine.create_asset_runs(connection)).created == 1
    assert await runs(connection, "consumer") == [("asset_triggered", [{"rows": 7}])]


@pytest.mark.parametrize(
    ("call", "state", "message"),
    [
        ("leoflow.create_asset_event()", "LF422", "name or uri must be given"),
        ("leoflow.create_asset_event('ghost')", "LF404", "There is no asset `ghost`"),
        ("leoflow.create_asset_event('a', extra => '[1]')", "LF422", "extra must be a JSON object"),
    ],
)
async def test_bad_events_are_refused(connection: Connection, call: str, state: str, message: str) -> None:
    await engine.register_version(connection, producer("one", A))
    with pytest.raises(psycopg.Error, match=message) as error:
        await connection.execute(f"select {call}".encode())
    assert error.value.sqlstate == state


async def test_too_long_a_name_is_refused_at_registration(connection: Connection) -> None:
    with pytest.raises(psycopg.Error, match="more than 1300 characters") as error:
        await engine.register_version(connection, producer("one", asset("x" * 1301)))
    assert error.value.sqlstate == "LF422"


async def test_forgotten_events_do_not_count_but_the_next_run_is_told(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A, B)))
    await change(connection, A, events=[event(A, n=1)])
    assert await scalar(connection, "select leoflow_core.forget_queued_events()") == 1
    assert (await change(connection, B)).created == 0
    assert (await change(connection, A)).created == 1
    assert await runs(connection, "consumer") == [("asset_triggered", [{"n": 1}, {}, {}])]


async def test_a_dag_that_cannot_run_keeps_no_other_from_running(connection: Connection) -> None:
    for dag_id in ("first", "second"):
        await engine.register_version(connection, consumer(dag_id, all_of(A), allowed_run_types=["manual"]))
    # Airflow's scheduler does not ask allowed_run_types here; a DAG without a version is what cannot run.
    await connection.execute("update leoflow_core.dag set current_version_key = null where dag_id = 'first'")
    await connection.execute("select leoflow.create_asset_event('a')")
    assert (await engine.create_asset_runs(connection)).created == 1
    assert (len(await runs(connection, "first")), len(await runs(connection, "second"))) == (0, 1)
    assert await scalar(connection, "select count(*) from leoflow_core.asset_queue") == 1


async def test_a_partitioned_event_starts_no_plain_schedule(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A)))
    await connection.execute("select leoflow.create_asset_event('a', partition_key => '2026-01-01')")
    assert (await engine.create_asset_runs(connection)).created == 0


async def test_retention_drops_old_events_with_their_partitions(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A, B)))
    await change(connection, A)
    assert await engine.maintain_partitions(connection) > 0
    old = "select count(*) from pg_inherits where inhparent = 'leoflow_core.asset_event'::regclass"
    assert await scalar(connection, old) == 5
    assert await scalar(connection, "select count(*) from leoflow_core.asset_event_default") == 0
    await connection.execute("update leoflow_core.asset_queue set event_at = event_at - interval '9 days'")
    await connection.execute("select leoflow_core.retain('8 days')")
    assert await scalar(connection, "select count(*) from leoflow_core.asset_queue") == 0
    assert await scalar(connection, "select count(*) from leoflow_core.asset_event") == 1


async def test_a_deleted_run_forgets_its_events(connection: Connection) -> None:
    await engine.register_version(connection, consumer("consumer", all_of(A)))
    await change(connection, A)
    run_id = await scalar(connection, "select dag_run_id from leoflow.dag_runs where dag_id = 'consumer'")
    await engine.delete_run(connection, "consumer", run_id)
    assert await scalar(connection, "select count(*) from leoflow_core.dag_run_asset_event") == 0
    assert await scalar(connection, "select count(*) from leoflow.asset_events") == 1
