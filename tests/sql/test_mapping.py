"""Dynamic task mapping: how many instances there are, when, and what follows from their states."""

from typing import Any

import pytest

from leoflow import engine
from tests.sql import invariants
from tests.sql.dags import (
    Connection,
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


def mapped(task_id: str, *upstreams: str, **fields: Any) -> dict[str, Any]:
    """A task mapped over the result of its only upstream."""
    return task(task_id, *upstreams, mapping=over(*(result(one) for one in upstreams)), **fields)


async def test_a_map_over_a_result_has_one_instance_until_the_length_is_known(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("make"), mapped("each", "make"), task("sum", "each")]))
    assert await instances(connection, run) == {"make": "scheduled", "each": None, "sum": None}
    (make,) = await engine.claim(connection, worker, 10)
    await engine.finish(connection, worker, [returned(make, 3)])
    assert await instances(connection, run) == {
        "make": "success",
        "each[0]": "scheduled",
        "each[1]": "scheduled",
        "each[2]": "scheduled",
        "sum": None,
    }
    await invariants.check(connection)
    assert await drain(connection, worker, batch=1) == ["each[0]", "each[1]", "each[2]", "sum"]
    assert await run_state(connection, run) == "success"
    await invariants.check(connection)


async def test_a_map_over_literals_has_all_instances_from_the_start(connection: Connection) -> None:
    worker = await new_worker(connection)
    each = task("each", mapping=over(literal(2), literal(3)))
    run = await run_of(connection, dag("d", [each, task("sum", "each")]))
    assert list(await instances(connection, run)) == [*(f"each[{i}]" for i in range(6)), "sum"]
    assert len(await drain(connection, worker)) == 7
    assert await run_state(connection, run) == "success"


@pytest.mark.parametrize("length", [0, 1, 65, 200])
async def test_a_reduce_waits_for_every_instance(connection: Connection, length: int) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("make"), mapped("each", "make"), task("sum", "each")]))
    order = await drain(connection, worker, {"make": length}, batch=7)
    if length == 0:
        assert await instances(connection, run) == {"make": "success", "each": "skipped", "sum": "skipped"}
    else:
        assert order == ["make", *(f"each[{i}]" for i in range(length)), "sum"]
    assert await run_state(connection, run) == "success"
    await invariants.check(connection)


@pytest.mark.parametrize("when", ["at the start", "later"])
async def test_a_map_over_an_empty_literal_is_skipped(connection: Connection, when: str) -> None:
    worker = await new_worker(connection)
    first = [] if when == "at the start" else ["first"]
    each = task("each", *first, mapping=over(literal(0)))
    run = await run_of(connection, dag("d", [*map(task, first), each, task("after", "each", trigger_rule="all_done")]))
    assert await drain(connection, worker) == [*first, "after"]
    assert (await instances(connection, run))["each"] == "skipped"
    assert await run_state(connection, run) == "success"


async def test_a_run_whose_only_task_is_mapped_over_nothing_ends_at_once(connection: Connection) -> None:
    run = await run_of(connection, dag("d", [task("each", mapping=over(literal(0)))]))
    assert await instances(connection, run) == {"each": "skipped"}
    assert await run_state(connection, run) == "success"


@pytest.mark.parametrize(
    ("input_", "lengths", "expected"),
    [
        ({"type": "map", "arg": result("a"), "callables": ["f"]}, (3, 2), 3),
        ({"type": "zip", "args": [result("a"), result("b")]}, (3, 2), 2),
        ({"type": "zip", "args": [result("a"), result("b")], "fillvalue": None}, (3, 2), 3),
        ({"type": "concat", "args": [result("a"), result("b")]}, (3, 2), 5),
        ({"type": "concat", "args": [result("a"), {"type": "zip", "args": [result("a"), result("b")]}]}, (3, 2), 5),
    ],
)
async def test_lengths_of_transformed_inputs(
    connection: Connection, input_: dict[str, Any], lengths: tuple[int, int], expected: int
) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("a"), task("b"), task("each", "a", "b", mapping=over(input_))]))
    await drain(connection, worker, {"a": lengths[0], "b": lengths[1]})
    assert len(await instances(connection, run)) == 2 + expected


async def test_several_inputs_make_a_cross_product(connection: Connection) -> None:
    worker = await new_worker(connection)
    each = task("each", "a", "b", mapping=over(result("a"), result("b"), literal(2)))
    run = await run_of(connection, dag("d", [task("a"), task("b"), each]))
    await drain(connection, worker, {"a": 3, "b": 4})
    assert len(await instances(connection, run)) == 2 + 24


async def test_a_map_over_a_mapped_task_counts_the_results_there_are(connection: Connection) -> None:
    worker = await new_worker(connection)
    tasks = [task("make"), mapped("one", "make"), mapped("two", "one", trigger_rule="all_done")]
    run = await run_of(connection, dag("d", tasks))
    await drain(connection, worker, {"make": 4, "one[2]": "failed"}, batch=1)
    found = await instances(connection, run)
    assert [name for name in found if name.startswith("two")] == ["two[0]", "two[1]", "two[2]"]
    assert found["one[2]"] == "failed"


@pytest.mark.parametrize(
    ("rule", "end", "expected"),
    [
        ("all_success", "failed", "upstream_failed"),
        ("all_success", "skipped", "skipped"),
        ("all_done", "failed", "upstream_failed"),
        ("all_done", "skipped", "skipped"),
        ("none_failed", "skipped", "skipped"),
        ("one_failed", "failed", "upstream_failed"),
    ],
)
async def test_what_is_mapped_over_must_have_succeeded_whatever_the_rule(
    connection: Connection, rule: str, end: str, expected: str
) -> None:
    worker = await new_worker(connection)
    tasks = [task("make"), task("slow"), task("each", "make", "slow", mapping=over(result("make")), trigger_rule=rule)]
    run = await run_of(connection, dag("d", tasks))
    claimed = {one.task_id: one for one in await engine.claim(connection, worker, 10)}
    await engine.finish(connection, worker, [engine.Outcome(claimed["make"].ref, end)])
    assert (await instances(connection, run))["each"] == expected


async def test_a_map_over_a_result_without_a_length_is_upstream_failed_and_says_why(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("make"), mapped("each", "make")]))
    await drain(connection, worker)
    assert (await instances(connection, run))["each"] == "upstream_failed"
    assert await run_state(connection, run) == "failed"
    assert "length of what it is mapped over is not known" in await scalar(
        connection, "select lines from leoflow_core.task_log"
    )


async def test_a_map_over_too_much_fails_and_says_why(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("make"), mapped("each", "make"), task("sum", "each")]))
    await drain(connection, worker, {"make": 100_001})
    assert await instances(connection, run) == {"make": "success", "each": "failed", "sum": "upstream_failed"}
    assert "100001 values, more than max_mapped_instances (100000)" in await scalar(
        connection, "select lines from leoflow_core.task_log"
    )


async def test_one_failed_instance_fails_what_follows_at_once_and_the_others_run(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", [task("make"), mapped("each", "make"), task("sum", "each")]))
    (make,) = await engine.claim(connection, worker, 1)
    await engine.finish(connection, worker, [returned(make, 3)])
    (one,) = await engine.claim(connection, worker, 1)
    await engine.finish(connection, worker, [engine.Outcome(one.ref, "failed")])
    assert (await instances(connection, run))["sum"] == "upstream_failed"
    assert await run_state(connection, run) == "running"
    await drain(connection, worker)
    assert await run_state(connection, run) == "failed"
    await invariants.check(connection)


GROUP = [
    task("make"),
    task("g.one", "make", group_id="g"),
    task("g.two", "g.one", group_id="g"),
    task("sum", "g.two"),
]


@pytest.mark.parametrize("batch", [1, 2, 100])
async def test_inside_a_mapped_group_each_index_goes_its_own_way(connection: Connection, batch: int) -> None:
    worker = await new_worker(connection)
    tasks = [*GROUP[:-1], task("sum", "g.two", trigger_rule="all_done")]
    run = await run_of(connection, dag("d", tasks, task_groups=[mapped_group("g", result("make"))]))
    order = await drain(connection, worker, {"make": 3, "g.one[1]": "failed"}, batch=batch)
    assert await instances(connection, run) == {
        "make": "success",
        "g.one[0]": "success",
        "g.one[1]": "failed",
        "g.one[2]": "success",
        "g.two[0]": "success",
        "g.two[1]": "upstream_failed",
        "g.two[2]": "success",
        "sum": "success",
    }
    assert order[-1] == "sum"
    await invariants.check(connection)


async def test_an_index_of_a_mapped_group_does_not_wait_for_another(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, dag("d", GROUP, task_groups=[mapped_group("g", result("make"))]))
    (make,) = await engine.claim(connection, worker, 1)
    await engine.finish(connection, worker, [returned(make, 2)])
    assert (await instances(connection, run))["g.two[1]"] is None
    _, second = await engine.claim(connection, worker, 2)
    handed = (await engine.finish(connection, worker, [engine.Outcome(second.ref, "success")], handoff=1)).handed
    assert [(one.task_id, one.map_index) for one in handed] == [("g.two", 1)]
    assert (await instances(connection, run))["g.two[0]"] is None


async def test_an_empty_or_failed_map_of_a_group_ends_all_of_its_tasks(connection: Connection) -> None:
    worker = await new_worker(connection)
    for length, state in ((0, "skipped"), ("failed", "upstream_failed")):
        tasks = [*GROUP[:2], task("g.two", "g.one", group_id="g", trigger_rule="all_done"), GROUP[3]]
        run = await run_of(connection, dag("d", tasks, task_groups=[mapped_group("g", result("make"))]))
        await drain(connection, worker, {"make": length})
        found = await instances(connection, run)
        assert {name: found[name] for name in ("g.one", "g.two", "sum")} == dict.fromkeys(
            ("g.one", "g.two", "sum"), state
        )


async def test_a_second_upstream_of_a_mapped_group_holds_its_first_tasks_only(connection: Connection) -> None:
    worker = await new_worker(connection)
    tasks = [
        task("make"),
        task("slow"),
        task("g.a", "make", group_id="g"),
        task("g.b", "make", "slow", group_id="g"),
        task("g.c", "g.a", "g.b", group_id="g"),
    ]
    run = await run_of(connection, dag("d", tasks, task_groups=[mapped_group("g", result("make"))]))
    claimed = {one.task_id: one for one in await engine.claim(connection, worker, 2)}
    await engine.finish(connection, worker, [returned(claimed["make"], 2)])
    assert await drain(connection, worker) == ["g.a[0]", "g.a[1]"]
    assert (await instances(connection, run))["g.b"] is None
    assert (await instances(connection, run))["g.c"] is None
    await engine.finish(connection, worker, [engine.Outcome(claimed["slow"].ref, "success")])
    assert await drain(connection, worker) == ["g.b[0]", "g.b[1]", "g.c[0]", "g.c[1]"]
    assert await run_state(connection, run) == "success"


@pytest.mark.parametrize(("before", "after"), [(2, 4), (4, 2), (3, 3), (0, 2), (2, 1)])
async def test_clearing_what_is_mapped_over_changes_the_instances(
    connection: Connection, before: int, after: int
) -> None:
    worker = await new_worker(connection)
    spec = dag("d", GROUP, task_groups=[mapped_group("g", result("make"))])
    run = await run_of(connection, spec)
    await drain(connection, worker, {"make": before})
    await engine.clear_tasks(connection, "d", run.run_id, ["make"], downstream=True)
    await engine.promote_due(connection)
    await drain(connection, worker, {"make": after}, batch=1)
    found = await instances(connection, run)
    assert [found.get(f"g.two[{i}]") for i in range(max(before, after))] == [
        "success" if i < after else "removed" for i in range(max(before, after))
    ]
    assert found["sum"] == "success"
    assert await run_state(connection, run) == "success"
    await invariants.check(connection)


async def test_a_map_that_has_become_empty_ends_as_in_a_new_run(connection: Connection) -> None:
    worker = await new_worker(connection)
    spec = dag(
        "d", [*GROUP, mapped("each", "make"), task("last", "each")], task_groups=[mapped_group("g", result("make"))]
    )
    run = await run_of(connection, spec)
    await drain(connection, worker, {"make": 2})
    await engine.clear_tasks(connection, "d", run.run_id, ["make"], downstream=True)
    await engine.promote_due(connection)
    assert await drain(connection, worker, {"make": 0}) == ["make"]
    found = await instances(connection, run)
    assert {name: state for name, state in found.items() if state != "skipped"} == {
        "make": "success",
        "each[1]": "removed",
        "g.one[1]": "removed",
        "g.two[1]": "removed",
    }
    assert await run_state(connection, run) == "success"
    await invariants.check(connection)


async def test_fail_fast_lets_the_other_instances_of_the_failed_task_go_on(connection: Connection) -> None:
    """As in Airflow, which leaves instances of the same task alone."""
    worker = await new_worker(connection)
    tasks = [task("each", mapping=over(literal(3))), task("other"), task("after", "each", trigger_rule="all_done")]
    run = await run_of(connection, dag("d", tasks, fail_fast=True))
    running = {(one.task_id, one.map_index): one for one in await engine.claim(connection, worker, 4)}
    await engine.finish(connection, worker, [engine.Outcome(running["each", 1].ref, "failed")])
    assert await instances(connection, run) == {
        "each[0]": "running",
        "each[1]": "failed",
        "each[2]": "running",
        "other": "failed",
        "after": "skipped",
    }
    left = [engine.Outcome(running["each", index].ref, "success") for index in (0, 2)]
    assert not (await engine.finish(connection, worker, left)).stale
    assert await run_state(connection, run) == "failed"
    await invariants.check(connection)
