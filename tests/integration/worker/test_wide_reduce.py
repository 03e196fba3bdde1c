"""A reducer over thousands of trials gets one list, in declaration order, in one round trip."""

from datetime import timedelta
from pathlib import Path

import pytest

from leoflow import engine
from leoflow.db.pool import Pool
from leoflow.engine import Outcome, XComValue
from tests.integration.worker.harness import Harness, running

pytestmark = pytest.mark.anyio

TRIALS = 5000


async def test_five_thousand_trials_reach_the_reducer_in_order(pool: Pool, database_url: str, home: Path) -> None:
    async with running(database_url, home) as harness:
        await harness.stop()
        await harness.register(f"""
        with DAG("wide", max_active_tasks={TRIALS}) as dag:
            @task
            def trial(i): return i
            @task(trigger_rule="all_done")
            def summary(values):
                present = [value for value in values if value is not None]
                return [type(values).__name__, len(values), len(present), present == sorted(present), values[:4]]
            summary([trial(i) for i in range({TRIALS})])
        """)
        run_key = await harness.trigger("wide")
        await finish_trials(harness, pool)
        harness.start()
        run = await harness.finished(run_key, timeout=120)
    failed = TRIALS // 10
    assert run.xcoms[("summary", "return_value")] == ["list", TRIALS, TRIALS - failed, True, [None, 1, 2, 3]]


async def finish_trials(harness: Harness, pool: Pool) -> None:
    """Finish every trial as a worker without processes: each tenth fails, the others return their number."""
    async with pool.connection() as connection:
        worker = await engine.register_worker(
            connection, hostname="test", pid=1, slots=TRIALS, lease=timedelta(minutes=5)
        )
        while claimed := await engine.claim(connection, worker, 1000):
            outcomes = []
            for attempt in claimed:
                number = int(attempt.task_id.partition("__")[2] or 0)
                if number % 10 == 0:
                    outcomes.append(Outcome(attempt.ref, "failed", retryable=False))
                else:
                    value = XComValue("return_value", str(number).encode())
                    outcomes.append(Outcome(attempt.ref, "success", xcoms=(value,)))
            await engine.finish(connection, worker, outcomes)
            if any(attempt.task_id == "summary" for attempt in claimed):
                raise AssertionError("the reducer was claimed before it should be")
            remaining = await harness.fetch(
                """select count(*)
                from leoflow_core.task_instance i join leoflow_core.task t using (version_key, task_idx)
                where i.state = 'scheduled' and t.task_id <> 'summary'"""
            )
            if not remaining[0][0]:
                break
        await engine.retire_worker(connection, worker)
