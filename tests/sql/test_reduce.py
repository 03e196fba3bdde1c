"""The reduce guarantee: a list in declaration order, null where there is no value, at any size."""

import json
from typing import Any

import pytest

from leoflow import engine
from leoflow.db import queries
from leoflow.engine import ClaimedAttempt, Outcome, XComValue
from tests.sql.dags import (
    Connection,
    dag,
    new_worker,
    outcome,
    over,
    result,
    returned,
    run_of,
    run_state,
    scalar,
    states,
    task,
    unlimited,
)
from tests.support.plans import Plans

pytestmark = pytest.mark.anyio


def fan_in(width: int, rule: str = "all_success") -> dict[str, object]:
    names = [f"trial{i:05}" for i in range(width)]
    tasks = [task(name) for name in names]
    tasks.append(task("best", *names, trigger_rule=rule, xcom_input={"scores": names[::-1]}))
    return dag("search", tasks, max_active_tasks=100_000)


async def inputs(conn: Connection, reducer: ClaimedAttempt, max_bytes: int = 1 << 30) -> dict[str, Any]:
    """What a worker reads for a reducer in one query: upstream task ids, in order of declaration, and their values."""
    asked = {"version_key": reducer.version_key, "run_key": reducer.run_key, "task_idx": reducer.task_idx}
    cursor = await conn.execute(
        queries.load("execution_xcoms").reduce_inputs, {**asked, "after": -1, "max_bytes": max_bytes}
    )
    task_ids, _, document, _, has_more = await cursor.fetchone() or ()
    assert not has_more
    return dict(zip(task_ids.split("\n"), json.loads(b"[%s]" % document), strict=True))


async def finish_trials(conn: Connection, worker: int, states_of: dict[int, str]) -> None:
    claimed = await engine.claim(conn, worker, 100_000)
    for start in range(0, len(claimed), 500):
        await engine.finish(
            conn,
            worker,
            [
                Outcome(
                    one.ref,
                    states_of.get(one.task_idx - 1, "success"),
                    xcoms=(XComValue("return_value", str(one.task_idx - 1).encode()),)
                    if states_of.get(one.task_idx - 1, "success") == "success"
                    else (),
                )
                for one in reversed(claimed[start : start + 500])
            ],
        )


@pytest.mark.parametrize("width", [1, 3, 64, 65, 200])
async def test_reduce_keeps_declaration_order_when_trials_finish_backwards(connection: Connection, width: int) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    run = await run_of(connection, fan_in(width))
    await finish_trials(connection, worker, {})
    (best,) = await engine.claim(connection, worker, 10)
    assert best.has_reduce
    assert await inputs(connection, best) == {f"trial{i:05}": i for i in range(width)}
    await engine.finish(connection, worker, [Outcome(best.ref, "success")])
    assert await run_state(connection, run) == "success"


@pytest.mark.parametrize("width", [4, 100])
async def test_reduce_has_none_for_trials_that_failed_or_were_skipped(connection: Connection, width: int) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    run = await run_of(connection, fan_in(width, "all_done"))
    await finish_trials(connection, worker, {0: "failed", 2: "skipped"})
    (best,) = await engine.claim(connection, worker, 10)
    assert list((await inputs(connection, best)).values()) == [None, 1, None, *range(3, width)]
    cursor = await connection.execute(
        'select slots, filled, "null", failed, skipped, waiting from leoflow.map_reduce where run_key = %s',
        (run.run_key,),
    )
    assert await cursor.fetchone() == (width, width - 2, 0, 1, 1, 0)


async def test_the_slots_of_what_a_mapped_task_returns_are_its_instances(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    trials = task("trial", "make", mapping=over(result("make")))
    best = task("best", "trial", "one", trigger_rule="all_done", xcom_input={"ones": ["one"]}, has_reduce=True)
    best["extra"] = {"mapped_input": {"scores": "trial", "single": "one"}}
    run = await run_of(connection, dag("d", [task("make"), task("one"), trials, best]))
    shown = (
        'select param, slots, filled, "null", failed, skipped, waiting from leoflow.map_reduce'
        f" where run_key = {run.run_key} order by param"
    )
    assert await (await connection.execute(shown)).fetchall() == [
        ("ones", 1, 0, 0, 0, 0, 1),
        ("scores", 0, 0, 0, 0, 0, 0),
    ]
    for one in await engine.claim(connection, worker, 9):
        await engine.finish(connection, worker, [returned(one, 5)])
    claimed = await engine.claim(connection, worker, 9)
    ends = ["success", "failed", "skipped", "success", None]
    for one, end in zip(claimed, ends, strict=True):
        if end:
            none = (XComValue("return_value", b"null"),) if one.map_index == 3 else None
            await engine.finish(connection, worker, [outcome(one, end, **({"xcoms": none} if none else {}))])
    assert (await (await connection.execute(shown)).fetchall())[1] == ("scores", 5, 1, 1, 1, 1, 1)
    await engine.finish(connection, worker, [outcome(claimed[4])])
    (last,) = await engine.claim(connection, worker, 9)
    assert await inputs(connection, last) == {"one": []}


@pytest.mark.parametrize("width", [3, 100])
async def test_the_first_failure_settles_an_intolerant_reducer_at_once(connection: Connection, width: int) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    run = await run_of(connection, fan_in(width))
    claimed = await engine.claim(connection, worker, 1000)
    await engine.finish(connection, worker, [Outcome(claimed[1].ref, "failed")])
    assert (await states(connection, run))["best"] == "upstream_failed"
    assert await run_state(connection, run) == "running"
    await engine.finish(connection, worker, [Outcome(c.ref, "success") for c in claimed if c is not claimed[1]])
    assert await run_state(connection, run) == "failed"


@pytest.mark.parametrize("width", [3, 100])
async def test_one_success_over_many_starts_at_the_first(connection: Connection, width: int) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    await run_of(connection, fan_in(width, "one_success"))
    claimed = await engine.claim(connection, worker, 1000)
    await engine.finish(connection, worker, [Outcome(claimed[0].ref, "skipped")])
    assert await engine.claim(connection, worker, 10) == []
    await engine.finish(connection, worker, [Outcome(claimed[1].ref, "success")])
    assert [c.task_id for c in await engine.claim(connection, worker, 10)] == ["best"]


async def test_clearing_a_trial_of_a_finished_wide_run_reduces_again(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    run = await run_of(connection, fan_in(100, "all_done"))
    await finish_trials(connection, worker, {7: "failed"})
    await finish_trials(connection, worker, {})
    assert await run_state(connection, run) == "success"
    await engine.clear_tasks(connection, "search", run.run_id, only_failed=True, downstream=True)
    await engine.clear_tasks(connection, "search", run.run_id, ["best"])
    await finish_trials(connection, worker, {})
    (best,) = await engine.claim(connection, worker, 10)
    assert best.try_number == 2
    assert list((await inputs(connection, best)).values()) == list(range(100))
    await engine.finish(connection, worker, [Outcome(best.ref, "success")])
    assert await run_state(connection, run) == "success"


async def test_ten_thousand_trials_reduce_in_one_round_trip(connection: Connection) -> None:
    await unlimited(connection)
    worker = await new_worker(connection)
    run = await run_of(connection, fan_in(10_000))
    await finish_trials(connection, worker, {})
    (best,) = await engine.claim(connection, worker, 10)
    async with Plans(connection) as plans:
        values = await inputs(connection, best)
    assert list(values.values()) == list(range(10_000))
    reads = [plan for plan in plans if "string_agg" in plan]
    assert reads and not any("Nested Loop" in plan or "Seq Scan" in plan for plan in reads)
    await engine.finish(connection, worker, [Outcome(best.ref, "success")])
    assert await run_state(connection, run) == "success"
    assert await scalar(connection, "select count(*) from leoflow_core.join_counter") == 0
