"""Many workers at once, every limit at once, and an observer who asks all the time whether one is exceeded."""

import asyncio
import random

import psycopg
import pytest

from leoflow import engine
from leoflow.db import retry_transient
from leoflow.engine import AttemptRef, Outcome
from tests.sql import invariants
from tests.sql.dags import dag, literal, new_worker, over, run_of, scalar, task
from tests.sql.test_limits import set_pool

pytestmark = pytest.mark.anyio
SLOTS = (5, 2, 9, -1, 4, 0, 6)


def specs() -> list[dict[str, object]]:
    """Two DAGs that share pools: maps, successors to hand over, tasks of several slots."""
    wide = [task(f"t{i}", pool="p", pool_slots=1 + i % 3, effective_priority=i % 4) for i in range(12)]
    wide += [task(f"u{i}", f"t{i}", pool="p", pool_slots=1 + i % 3) for i in range(12)]
    maps = [
        task("per_dag", mapping=over(literal(8)), max_active_tis_per_dag=3),
        task("per_run", mapping=over(literal(8)), max_active_tis_per_dagrun=2, pool="p"),
        task("after", "per_dag", "per_run"),
    ]
    return [
        dag("wide", wide, max_active_tasks=6, max_active_runs=2),
        dag("maps", maps, max_active_tasks=7, max_active_runs=3),
    ]


async def test_no_limit_is_exceeded_while_pools_change(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as observer:
        await set_pool(observer, "p", 5)
        for spec in specs():
            for number in range(4):
                await run_of(observer, spec, run_id=f"r{number}")
        started: list[AttemptRef] = []
        left = "select count(*) from leoflow_core.dag_run where state not in ('success', 'failed')"

        async def work(number: int) -> None:
            chosen = random.Random(number)
            async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
                worker = await new_worker(conn)
                while await scalar(conn, left):
                    held = await retry_transient(lambda: engine.claim(conn, worker, chosen.randint(1, 6)))
                    started.extend(one.ref for one in held)
                    while held:
                        now = chosen.sample(held, chosen.randint(1, len(held)))
                        kept = [one for one in held if one not in now]
                        ends = [Outcome(one.ref, "success") for one in now]
                        done = await retry_transient(lambda e=ends: engine.finish(conn, worker, e, handoff=2))
                        started.extend(one.ref for one in done.handed)
                        held = kept + done.handed

        async def resize() -> None:
            async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
                turn = 0
                while await scalar(conn, left):
                    slots = SLOTS[turn % len(SLOTS)]
                    await retry_transient(lambda now=slots: set_pool(conn, "p", now))
                    turn += 1
                    if turn % len(SLOTS) == 0:
                        await asyncio.sleep(0.05)  # a while in which something happens

        async def observe() -> None:
            while await scalar(observer, left):
                await invariants.check(observer)

        await asyncio.wait_for(asyncio.gather(observe(), resize(), *(work(number) for number in range(5))), 200)
        assert len(started) == len({one.attempt_id for one in started}) == 4 * (24 + 17)
        assert await scalar(observer, "select count(*) from leoflow_core.gate_token") == 0
        await invariants.check(observer)
