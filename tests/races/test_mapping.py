"""Two sessions that meet while a map expands or is reduced."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from leoflow import engine
from leoflow.db import retry_transient
from leoflow.engine import Outcome
from tests.races.sessions import Connection, waits
from tests.sql import invariants
from tests.sql.dags import (
    dag,
    drain,
    instances,
    literal,
    mapped_group,
    new_worker,
    over,
    result,
    returned,
    run_of,
    run_state,
    scalar,
    task,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[tuple[Connection, Connection, Connection]]:
    opened = [await psycopg.AsyncConnection.connect(database_url, autocommit=True) for _ in range(3)]
    try:
        yield opened[0], opened[1], opened[2]
    finally:
        for one in opened:
            await one.close()


Sessions = tuple[Connection, Connection, Connection]


@pytest.mark.parametrize("length", [2, 40])
async def test_the_last_two_instances_at_once_make_their_reducer_ready_once(sessions: Sessions, length: int) -> None:
    one, two, three = sessions
    worker = await new_worker(three)
    tasks = [task("make"), task("each", "make", mapping=over(result("make"))), task("sum", "each")]
    run = await run_of(three, dag("d", tasks, max_active_tasks=100))
    (make,) = await engine.claim(three, worker, 1)
    await engine.finish(three, worker, [returned(make, length)])
    claimed = await engine.claim(three, worker, length)
    await engine.finish(three, worker, [Outcome(each.ref, "success") for each in claimed[:-2]])
    async with one.transaction():
        await engine.finish(one, worker, [Outcome(claimed[-2].ref, "success")])
        last = asyncio.ensure_future(engine.finish(two, worker, [Outcome(claimed[-1].ref, "success")]))
        await waits(three, two, last)
    await last
    assert await drain(three, worker) == ["sum"]
    assert await run_state(three, run) == "success"


async def test_an_upstream_that_ends_while_the_map_expands_is_counted(sessions: Sessions) -> None:
    """Both starts of a mapped group; the join inside expands with the second while an instance of the first ends."""
    one, two, three = sessions
    worker = await new_worker(three)
    tasks = [
        task("make"),
        task("slow"),
        task("g.a", "make", group_id="g"),
        task("g.b", "make", "slow", group_id="g"),
        task("g.c", "g.a", "g.b", group_id="g"),
    ]
    run = await run_of(three, dag("d", tasks, task_groups=[mapped_group("g", result("make"))]))
    claimed = {each.task_id: each for each in await engine.claim(three, worker, 2)}
    await engine.finish(three, worker, [returned(claimed["make"], 2)])
    first, second = await engine.claim(three, worker, 2)
    async with one.transaction():
        await engine.finish(one, worker, [Outcome(first.ref, "success")])
        slow = asyncio.ensure_future(
            retry_transient(lambda: engine.finish(two, worker, [Outcome(claimed["slow"].ref, "success")]))
        )
        assert await waits(three, two, slow)
    await slow
    assert (await instances(three, run))["g.c[1]"] is None
    await engine.finish(three, worker, [Outcome(second.ref, "success")])
    await drain(three, worker)
    assert await run_state(three, run) == "success"
    await invariants.check(three)


async def test_what_ends_around_an_inner_group_while_it_expands_is_counted(sessions: Sessions) -> None:
    """An inner task gets its instances, which wait for those of a task around it, while one of these ends."""
    one, two, three = sessions
    worker = await new_worker(three)
    tasks = [
        *map(task, ("rows", "cells")),
        task("o.a", "rows", group_id="o"),
        task("o.i.b", "o.a", "cells", group_id="o.i"),
        task("o.c", "o.i.b", group_id="o", trigger_rule="all_done"),
    ]
    groups = [mapped_group("o", result("rows")), mapped_group("o.i", result("cells"), parent_group_id="o")]
    run = await run_of(three, dag("d", tasks, task_groups=groups))
    claimed = {each.task_id: each for each in await engine.claim(three, worker, 2)}
    await engine.finish(three, worker, [returned(claimed["rows"], 2)])
    first, second = await engine.claim(three, worker, 2)
    async with one.transaction():
        await engine.finish(one, worker, [Outcome(first.ref, "success")])
        cells = asyncio.ensure_future(
            retry_transient(lambda: engine.finish(two, worker, [returned(claimed["cells"], 2)]))
        )
        assert await waits(three, two, cells)
    await cells
    found = await instances(three, run)
    assert [found[f"o.i.b[{index}]"] for index in range(4)] == ["scheduled", "scheduled", None, None]
    await engine.finish(three, worker, [Outcome(second.ref, "success")])
    assert len(await drain(three, worker)) == 4 + 2
    assert await run_state(three, run) == "success"
    await invariants.check(three)


async def test_many_workers_on_maps_run_everything_exactly_once(database_url: str) -> None:
    """Six workers over runs with maps, groups in groups and reducers: every run ends, nothing runs twice."""
    lengths = {"make": 30, "more": 3}
    tasks = [
        task("make"),
        task("more"),
        task("each", "make", mapping=over(result("make"))),
        task("cross", "make", "more", mapping=over(result("make"), result("more"))),
        task("g.a", "make", group_id="g"),
        task("g.b", "make", "more", group_id="g"),
        task("g.c", "g.a", "g.b", group_id="g"),
        task("o.a", "more", group_id="o"),
        task("o.i.b", "o.a", "make", group_id="o.i"),
        task("o.j.c", "o.i.b", "more", group_id="o.j"),
        task("o.d", "o.a", "o.j.c", group_id="o"),
        task("sum", "each", "cross", "g.c", "o.d"),
    ]
    groups = [
        mapped_group("g", result("make")),
        mapped_group("o", result("more")),
        mapped_group("o.i", literal(2), parent_group_id="o"),
        mapped_group("o.j", result("more"), parent_group_id="o"),
    ]
    spec = dag("d", tasks, task_groups=groups, max_active_tasks=50)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as setup:
        for number in range(3):
            await run_of(setup, spec, run_id=f"r{number}")
        started: list[engine.AttemptRef] = []

        async def work(number: int) -> None:
            async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
                worker = await new_worker(conn)
                while await scalar(conn, "select count(*) from leoflow_core.dag_run where state <> 'success'"):
                    held = await retry_transient(lambda: engine.claim(conn, worker, 1 + 3 * number))
                    while held:
                        started.extend(each.ref for each in held)
                        ends = [returned(each, lengths.get(each.task_id, 1)) for each in held]
                        held = (await retry_transient(lambda e=ends: engine.finish(conn, worker, e, handoff=2))).handed

        await asyncio.wait_for(asyncio.gather(*(work(number) for number in range(6))), 300)
        assert len(started) == len({each.attempt_id for each in started}) == 3 * (2 + 30 + 90 + 90 + 3 + 6 + 9 + 3 + 1)
        await invariants.check(setup)
