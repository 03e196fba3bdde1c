"""Asset watchers: which triggers run, who runs them, and that each of their events counts once."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from leoflow import engine
from leoflow.engine import ClaimedTrigger
from tests.sql.assets import all_of, asset, consumer, producer, runs
from tests.sql.dags import Connection, drain, new_worker, scalar

pytestmark = pytest.mark.anyio

LEASE = timedelta(seconds=30)


def watched(name: str, *watchers: tuple[str, int]) -> dict[str, Any]:
    """An asset with watchers, each a name and an argument of its trigger."""
    described = [{"name": n, "trigger": {"classpath": "a.B", "kwargs": {"x": x}}} for n, x in watchers]
    return asset(name, watchers=described)


async def lost_watchers(conn: Connection, triggerer: int, keys: list[int]) -> list[int]:
    found: list[int] = await scalar(conn, "select array(select leoflow_core.lost_watchers(%s, %s))", triggerer, keys)
    return found


async def unpaused(conn: Connection, spec: dict[str, Any]) -> None:
    await engine.register_version(conn, spec)
    await engine.set_paused(conn, spec["dag_id"], False)


async def new_triggerer(conn: Connection, pid: int = 1) -> int:
    return await engine.register_triggerer(conn, hostname="test", pid=pid, lease=LEASE)


async def claimed(conn: Connection, triggerer: int) -> list[ClaimedTrigger]:
    return await engine.claim_watchers(conn, triggerer, 10)


async def state(conn: Connection) -> list[tuple[str, str, str]]:
    cursor = await conn.execute(
        "select asset_name, name, state from leoflow.asset_watchers order by asset_name, name, dag_id"
    )
    return await cursor.fetchall()


async def test_a_trigger_runs_while_an_unpaused_dag_is_scheduled_by_its_asset(connection: Connection) -> None:
    await engine.register_version(connection, consumer("c", all_of(watched("a", ("w", 1)))))
    await engine.set_paused(connection, "c", True)
    triggerer = await new_triggerer(connection)
    assert await claimed(connection, triggerer) == []
    assert await state(connection) == [("a", "w", "off: no unpaused DAG is scheduled by the asset")]
    await engine.set_paused(connection, "c", False)
    [trigger] = await claimed(connection, triggerer)
    assert (trigger.classpath, trigger.kwargs, trigger.is_watcher) == ("a.B", {"x": 1}, True)
    assert (trigger.attempt.dag_id, trigger.attempt.run_id, trigger.attempt.map_index) == ("c", None, -1)
    assert await state(connection) == [("a", "w", "running")]
    assert await lost_watchers(connection, triggerer, [trigger.key]) == []
    await engine.set_paused(connection, "c", True)
    assert await lost_watchers(connection, triggerer, [trigger.key]) == [trigger.key]
    await engine.release_watchers(connection, triggerer, [trigger.key])
    assert await scalar(connection, "select count(*) from leoflow_core.watcher_trigger") == 0


async def test_a_dag_that_is_paused_because_it_fails_is_not_watched_for(connection: Connection) -> None:
    await unpaused(connection, consumer("c", all_of(watched("a", ("w", 1))), max_consecutive_failed_dag_runs=1))
    await engine.create_run(connection, "c")
    await drain(connection, await new_worker(connection), {"use": "failed"})
    assert await scalar(connection, "select is_paused from leoflow_core.dag")
    assert await state(connection) == [("a", "w", "off: no unpaused DAG is scheduled by the asset")]


async def test_an_asset_that_is_only_produced_is_not_watched(connection: Connection) -> None:
    await unpaused(connection, producer("p", watched("a", ("w", 1))))
    assert await claimed(connection, await new_triggerer(connection)) == []


async def test_equal_triggers_run_once_and_their_events_are_events_of_every_asset(connection: Connection) -> None:
    await unpaused(connection, consumer("c", all_of(watched("a", ("w", 1)))))
    await unpaused(connection, consumer("d", all_of(watched("b", ("v", 1), ("u", 2)))))
    first, second = await claimed(connection, await new_triggerer(connection))
    assert (first.kwargs, first.attempt.dag_id) == ({"x": 1}, "c")
    assert await engine.record_watcher_event(connection, first.key, uuid4(), {"row": 1}) == 2
    assert (await engine.create_asset_runs(connection)).created == 2
    told = {"from_trigger": True, "payload": {"row": 1}}
    assert await runs(connection, "c") == [("asset_triggered", [told])]
    assert await runs(connection, "d") == [("asset_triggered", [told])]
    assert await engine.record_watcher_event(connection, second.key, uuid4(), None) == 1


async def test_one_dag_less_leaves_the_trigger_to_the_other(connection: Connection) -> None:
    await unpaused(connection, consumer("c", all_of(watched("a", ("w", 1)))))
    await unpaused(connection, consumer("d", all_of(watched("b", ("v", 1)))))
    triggerer = await new_triggerer(connection)
    [trigger] = await claimed(connection, triggerer)
    await engine.delete_dag(connection, "c")
    assert await lost_watchers(connection, triggerer, [trigger.key]) == [trigger.key]
    await engine.release_watchers(connection, triggerer, [trigger.key])
    [again] = await claimed(connection, triggerer)
    assert (again.key, again.attempt.dag_id) == (trigger.key, "d")
    assert await engine.record_watcher_event(connection, again.key, uuid4(), None) == 1


async def test_an_event_is_recorded_once_whoever_says_it(connection: Connection) -> None:
    await unpaused(connection, consumer("c", all_of(watched("a", ("w", 1)))))
    [trigger] = await claimed(connection, await new_triggerer(connection))
    event = uuid4()
    assert await engine.record_watcher_event(connection, trigger.key, event, 1) == 1
    assert await engine.record_watcher_event(connection, trigger.key, event, 1) == 0
    assert await engine.record_watcher_event(connection, trigger.key, uuid4(), 1) == 1
    assert await scalar(connection, "select events from leoflow.asset_watchers") == 2
    assert await scalar(connection, "select count(*) from leoflow_core.asset_event") == 2


async def test_a_new_version_takes_the_trigger_over_once_it_has_stopped(connection: Connection) -> None:
    await unpaused(connection, consumer("c", all_of(watched("a", ("w", 1)))))
    triggerer = await new_triggerer(connection)
    [trigger] = await claimed(connection, triggerer)
    changed = consumer("c", all_of(watched("a", ("w", 1))), description="changed")
    version = await engine.register_version(connection, changed)
    assert await claimed(connection, triggerer) == []
    assert await lost_watchers(connection, triggerer, [trigger.key]) == [trigger.key]
    assert await engine.record_watcher_event(connection, trigger.key, uuid4(), "seen while stopping") == 1
    await engine.release_watchers(connection, triggerer, [trigger.key])
    [again] = await claimed(connection, triggerer)
    assert (again.key, again.attempt.version_key) == (trigger.key, version.version_key)


async def test_changed_arguments_are_another_trigger(connection: Connection) -> None:
    await unpaused(connection, consumer("c", all_of(watched("a", ("w", 1)))))
    triggerer = await new_triggerer(connection)
    [old] = await claimed(connection, triggerer)
    await engine.register_version(connection, consumer("c", all_of(watched("a", ("w", 2)))))
    [new] = await claimed(connection, triggerer)
    assert new.kwargs == {"x": 2}
    assert await lost_watchers(connection, triggerer, [old.key, new.key]) == [old.key]
    assert await engine.record_watcher_event(connection, old.key, uuid4(), None) == 0


async def test_a_dag_that_mentions_the_asset_without_watchers_leaves_them_alone(connection: Connection) -> None:
    await unpaused(connection, consumer("c", all_of(watched("a", ("w", 1), ("v", 2)))))
    await unpaused(connection, producer("p", asset("a")))
    assert [row[:2] for row in await state(connection)] == [("a", "v"), ("a", "w")]
    await engine.register_version(connection, consumer("c", all_of(watched("a", ("w", 1)))))
    assert [row[:2] for row in await state(connection)] == [("a", "w")]
    await engine.deactivate_dag(connection, "c")
    assert await state(connection) == []


async def test_what_a_lost_triggerer_ran_is_free_for_others(connection: Connection) -> None:
    await unpaused(connection, consumer("c", all_of(watched("a", ("w", 1)))))
    lost, other = await new_triggerer(connection, 1), await new_triggerer(connection, 2)
    [trigger] = await claimed(connection, lost)
    assert await claimed(connection, other) == []
    await connection.execute(
        "update leoflow_core.process set lease_until = clock_timestamp() - interval '1 s' where process_key = %s",
        (lost,),
    )
    await engine.claim_triggers(connection, other, 10)
    assert [one.key for one in await claimed(connection, other)] == [trigger.key]
    assert await lost_watchers(connection, lost, [trigger.key]) == [trigger.key]
    with pytest.raises(psycopg.Error) as refused:
        await claimed(connection, lost)
    assert refused.value.sqlstate == "LF410"


async def test_a_claim_whose_answer_was_lost_is_free_after_the_next_heartbeat(connection: Connection) -> None:
    await unpaused(connection, consumer("c", all_of(watched("a", ("w", 1)))))
    triggerer = await new_triggerer(connection)
    [trigger] = await claimed(connection, triggerer)
    assert await lost_watchers(connection, triggerer, []) == []
    assert [one.key for one in await claimed(connection, triggerer)] == [trigger.key]


async def test_a_failure_shows_until_the_next_event(connection: Connection) -> None:
    await unpaused(connection, consumer("c", all_of(watched("a", ("w", 1)))))
    [trigger] = await claimed(connection, await new_triggerer(connection))
    await engine.fail_watcher(connection, trigger.key, "no route to host")
    assert await state(connection) == [("a", "w", "failing")]
    assert await scalar(connection, "select failure from leoflow.asset_watchers") == "no route to host"
    await engine.record_watcher_event(connection, trigger.key, uuid4(), None)
    assert await state(connection) == [("a", "w", "running")]
