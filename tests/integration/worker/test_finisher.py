"""What the database cannot take of one attempt harms no other, and leaves nothing running for ever."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from leoflow import engine
from leoflow.db.pool import Pool
from leoflow.engine import ClaimedAttempt, XComValue
from leoflow.execution.outcomes import Outcome
from leoflow.worker.finisher import Finisher
from tests.sql import invariants
from tests.sql.dags import dag, instances, new_worker, run_of, task, unlimited

pytestmark = pytest.mark.anyio


async def test_an_outcome_the_database_refuses_fails_its_task_alone(pool: Pool) -> None:
    async with pool.connection() as conn:
        await unlimited(conn)
        worker = await new_worker(conn)
        run = await run_of(conn, dag("d", [task("bad"), task("good")]))
        claimed = {one.task_id: one for one in await engine.claim(conn, worker, 10)}
    notes: list[str] = []

    def session(attempt: ClaimedAttempt) -> Any:
        lines = SimpleNamespace(note=notes.append)
        return SimpleNamespace(attempt=SimpleNamespace(claimed=attempt), lines=lines, is_recorded=False)

    async def flush() -> None: ...

    finisher = Finisher(pool, lambda: worker, lambda: 0, lambda _: None, lambda: None, lambda: None, flush)
    running = asyncio.create_task(finisher.run())
    nameless = XComValue("", b"1")
    reports = [
        finisher.report(session(claimed["bad"]), Outcome("success", xcoms=[nameless])),
        finisher.report(session(claimed["good"]), Outcome("success")),
    ]
    assert await asyncio.gather(*reports) == [True, True]
    running.cancel()
    async with pool.connection() as conn:
        assert await instances(conn, run) == {"bad": "failed", "good": "success"}
        await invariants.check(conn)
    assert "How the task ended cannot be recorded" in notes[0]
