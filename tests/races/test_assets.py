"""Two sessions that change assets, or schedules, at once: no event is missed, none makes two runs."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from leoflow import engine
from leoflow.engine import Outcome
from tests.races.sessions import Connection, blocked
from tests.sql.assets import all_of, asset, attempt_with, change, consumer, outlets, runs
from tests.sql.dags import new_worker, scalar

pytestmark = pytest.mark.anyio

A, B = asset("a"), asset("b")


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[tuple[Connection, Connection, Connection]]:
    opened = [await psycopg.AsyncConnection.connect(database_url, autocommit=True) for _ in range(3)]
    try:
        yield opened[0], opened[1], opened[2]
    finally:
        for one in opened:
            await one.close()


Sessions = tuple[Connection, Connection, Connection]


async def test_two_producers_at_once_make_one_run_of_who_waits_for_both(sessions: Sessions) -> None:
    one, two, three = sessions
    await engine.register_version(three, consumer("consumer", all_of(A, B)))
    first, second = await attempt_with(three, A, dag_id="pa"), await attempt_with(three, B, dag_id="pb")
    worker = await new_worker(three)
    async with one.transaction():
        await engine.finish(one, worker, [Outcome(first.ref, "success", outlets=outlets(A))])
        # The other one neither waits for the first nor sees its event.
        call = engine.finish(two, worker, [Outcome(second.ref, "success", outlets=outlets(B))])
        await asyncio.wait_for(call, 10)
        assert (await engine.create_asset_runs(two)).created == 0
    assert (await engine.create_asset_runs(one)).created == 1
    assert [len(extras) for _, extras in await runs(three, "consumer")] == [2]


async def test_an_event_that_comes_while_another_is_being_weighed_is_not_missed(sessions: Sessions) -> None:
    one, two, three = sessions
    await engine.register_version(three, consumer("consumer", all_of(A, B)))
    await change(three, A)
    await three.execute("update leoflow_core.asset_queue set is_checked = false")
    await engine.register_version(three, consumer("other", all_of(B)))
    async with one.transaction():
        assert (await engine.create_asset_runs(one)).created == 0  # has looked at A, and holds the DAG
        await two.execute("select leoflow.create_asset_event('b')")
        waiting = await blocked(three, two, engine.create_asset_runs(two))
    assert (await waiting).created == 2
    assert len(await runs(three, "consumer")) == 1


async def test_two_who_create_at_once_make_one_run(sessions: Sessions) -> None:
    one, two, three = sessions
    await engine.register_version(three, consumer("consumer", all_of(A)))
    await three.execute("select leoflow.create_asset_event('a')")
    async with one.transaction():
        assert (await engine.create_asset_runs(one)).created == 1
        waiting = await blocked(three, two, engine.create_asset_runs(two))
    assert (await waiting).created == 0
    assert len(await runs(three, "consumer")) == 1


async def test_an_event_during_registration_is_known_to_the_new_schedule(sessions: Sessions) -> None:
    one, two, three = sessions
    await change(three, A)  # so that the asset exists
    async with one.transaction():
        await one.execute("select leoflow.create_asset_event('a', extra => '{\"n\": 1}')")
        waiting = await blocked(three, two, engine.register_version(two, consumer("consumer", all_of(A))))
    await waiting
    await three.execute("select leoflow.create_asset_event('a', extra => '{\"n\": 2}')")
    assert (await engine.create_asset_runs(three)).created == 1
    assert await runs(three, "consumer") == [("asset_triggered", [{}, {"n": 1}, {"n": 2}])]


async def test_a_registration_that_came_first_is_seen_by_the_event(sessions: Sessions) -> None:
    one, two, three = sessions
    await change(three, A)
    async with one.transaction():
        await engine.register_version(one, consumer("consumer", all_of(A)))
        waiting = await blocked(three, two, two.execute("select leoflow.create_asset_event('a')"))
    await waiting
    assert (await engine.create_asset_runs(three)).created == 1


async def test_an_event_during_a_forgetting_stays(sessions: Sessions) -> None:
    one, two, three = sessions
    await engine.register_version(three, consumer("consumer", all_of(A, B)))
    await change(three, A)
    async with one.transaction():
        await one.execute("select leoflow_core.forget_queued_events()")
        await two.execute("select leoflow.create_asset_event('b')")
    assert (await engine.create_asset_runs(three)).created == 0
    assert await scalar(three, "select count(*) from leoflow_core.api_queued_events") == 1


async def test_many_producers_at_once_lose_and_double_nothing(database_url: str) -> None:
    """Eight sessions record 10 events each and create runs; every event ends in exactly one run of each consumer."""

    async def producer(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
            for _ in range(10):
                await conn.execute("select leoflow.create_asset_event(%s)", ("ab"[number % 2],))
                await engine.create_asset_runs(conn)

    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        for dag_id, expression in (("both", all_of(A, B)), ("any", {**all_of(A, B), "type": "any"})):
            await engine.register_version(conn, consumer(dag_id, expression, max_active_runs=1000))
        await asyncio.gather(*(producer(number) for number in range(8)))
        await engine.create_asset_runs(conn)
        consumed = {dag_id: [len(events) for _, events in await runs(conn, dag_id)] for dag_id in ("both", "any")}
        assert sum(consumed["any"]) == 80
        waiting = await scalar(conn, "select count(*) from leoflow_core.asset_queue")
        assert sum(consumed["both"]) + waiting == 80
        assert await scalar(
            conn, "select count(*) from (select distinct asset_key from leoflow_core.asset_queue) as q"
        ) in (0, 1)
