"""Mapped groups inside mapped groups: which instances an edge joins, whenever the lengths become known."""

import random
from datetime import timedelta
from typing import Any

import psycopg
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
    outcome,
    over,
    result,
    returned,
    run_of,
    run_state,
    task,
)

pytestmark = pytest.mark.anyio

UNLIKE = """
with counted as materialized (
    select c.* from leoflow_core.dag_run as r
    cross join leoflow_core.count_upstreams(r.run_key, r.version_key, null) as c where r.run_key = %(run_key)s
)
select k.task_id, t.map_index, w.counts, s.counts
from leoflow_core.task_instance as t
join leoflow_core.task as k on k.version_key = t.version_key and k.task_idx = t.task_idx
cross join lateral (
    select row(
        t.upstreams, t.up_success, t.up_failed, t.up_upstream_failed, t.up_skipped, t.extra_left
    )::text as counts
) as w
cross join lateral (
    select row(
        coalesce(sum(c.upstreams), 0), coalesce(sum(c.up_success), 0), coalesce(sum(c.up_failed), 0),
        coalesce(sum(c.up_upstream_failed), 0), coalesce(sum(c.up_skipped), 0), coalesce(sum(c.extra_left), 0)
    )::text as counts
    from counted as c where c.task_idx = t.task_idx and (c.map_index is null or c.map_index = t.map_index)
) as s
where t.run_key = %(run_key)s and t.state is null and k.map_group_id is not null
    and w.counts <> s.counts
"""


def nested(rows: dict[str, Any], cells: dict[str, Any], others: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A group `o` mapped over rows with the groups `o.i` and `o.j` inside, one after the other."""
    made = [one["task_id"] for one in (rows, cells, others) if "task_id" in one]
    over_cells = [one["task_id"] for one in (cells,) if "task_id" in one]
    over_others = [one["task_id"] for one in (others,) if "task_id" in one]
    over_rows = [one["task_id"] for one in (rows,) if "task_id" in one]
    return dag(
        "d",
        [
            *map(task, sorted(set(made))),
            task("o.before", *over_rows, group_id="o"),
            task("o.i.deep", "o.before", *over_cells, group_id="o.i", **fields),
            task("o.i.deeper", "o.i.deep", group_id="o.i"),
            task("o.j.aside", "o.i.deep", *over_others, group_id="o.j", **fields),
            task("o.after", "o.i.deeper", "o.j.aside", group_id="o", trigger_rule="all_done"),
            task("end", "o.after", "o.i.deeper", trigger_rule="all_done"),
        ],
        task_groups=[
            mapped_group("o", rows),
            mapped_group("o.i", cells, parent_group_id="o"),
            mapped_group("o.j", others, parent_group_id="o"),
        ],
    )


def indexes(found: dict[str, str | None], task_id: str) -> dict[int, str | None]:
    """The states of a task's instances, by map index."""
    names = {name.rstrip("]").partition("[")[::2]: state for name, state in found.items()}
    return {int(index or -1): state for (name, index), state in names.items() if name == task_id}


async def test_a_task_in_two_groups_has_the_product_of_their_lengths(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, nested(literal(2), literal(3), literal(2)))
    assert set(indexes(await instances(connection, run), "o.i.deep")) == set(range(6))
    await drain(connection, worker, {"o.before[1]": "failed"})
    found = await instances(connection, run)
    assert [indexes(found, "o.i.deep")[i] for i in range(6)] == ["success"] * 3 + ["upstream_failed"] * 3
    assert indexes(found, "o.after") == {0: "success", 1: "success"}
    assert await run_state(connection, run) == "success"
    await invariants.check(connection)


async def test_what_failed_before_the_inner_length_was_known_counts_for_its_own_instances(
    connection: Connection,
) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, nested(result("rows"), result("cells"), literal(1)))
    claimed = {one.task_id: one for one in await engine.claim(connection, worker, 2)}
    await engine.finish(connection, worker, [returned(claimed["rows"], 2)])
    before = {one.map_index: one for one in await engine.claim(connection, worker, 9)}
    await engine.finish(connection, worker, [outcome(before[1], "failed")])
    assert indexes(await instances(connection, run), "o.i.deep") == {-1: None}
    await engine.finish(connection, worker, [returned(claimed["cells"], 2)])
    waiting = indexes(await instances(connection, run), "o.i.deep")
    assert waiting == {0: None, 1: None, 2: "upstream_failed", 3: "upstream_failed"}
    await engine.finish(connection, worker, [outcome(before[0])])
    assert (await instances(connection, run))["o.i.deep[1]"] == "scheduled"
    await drain(connection, worker)
    await invariants.check(connection)


@pytest.mark.parametrize(("end", "state"), [("failed", "upstream_failed"), ("success", "skipped")])
async def test_a_group_over_nothing_waits_for_all_instances_around_it(
    connection: Connection, end: str, state: str
) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, nested(result("rows"), result("cells"), literal(2)))
    claimed = {one.task_id: one for one in await engine.claim(connection, worker, 2)}
    await engine.finish(connection, worker, [returned(claimed["rows"], 2)])
    before = await engine.claim(connection, worker, 9)
    await engine.finish(connection, worker, [outcome(before[0])])
    await engine.finish(connection, worker, [returned(claimed["cells"], 0)])
    assert indexes(await instances(connection, run), "o.i.deep") == {-1: None}
    await engine.finish(connection, worker, [outcome(before[1], end)])
    assert indexes(await instances(connection, run), "o.i.deep") == {-1: state}
    await drain(connection, worker)
    assert await run_state(connection, run) == "success"
    await invariants.check(connection)


@pytest.mark.parametrize("seed", range(6))
async def test_counters_are_what_counting_says_in_every_order_and_after_a_clear(
    connection: Connection, seed: int
) -> None:
    chance = random.Random(seed)
    worker = await engine.register_worker(connection, hostname="h", pid=1, slots=100, lease=timedelta(hours=1))
    kinds = [literal(chance.randint(1, 3)) if chance.random() < 0.4 else result(name) for name in ("x", "y", "z")]
    rule = chance.choice(["all_success", "all_done", "none_failed", "one_failed", "all_done_min_one_success"])
    run = await run_of(connection, nested(*kinds, trigger_rule=rule))
    for turn in range(2):
        running: list[engine.ClaimedAttempt] = []
        while True:
            running += await engine.claim(connection, worker, chance.randint(1, 4))
            if not running:
                break
            one = running.pop(chance.randrange(len(running)))
            ends = returned(one, chance.randint(1, 4)) if one.task_id in "xyz" else None
            state = chance.choices(["success", "failed", "skipped"], [8, 1, 1])[0]
            await engine.finish(connection, worker, [ends or outcome(one, state)])
            cursor = await connection.execute(UNLIKE, {"run_key": run.run_key})
            assert not await cursor.fetchall()
        assert await run_state(connection, run) in ("success", "failed")
        await invariants.check(connection)
        if turn == 0:
            await engine.clear_tasks(connection, "d", run.run_id)
            await engine.promote_due(connection)


async def test_a_mapped_task_inside_a_mapped_group_is_refused(connection: Connection) -> None:
    inside = task("g.t", group_id="g", mapping=over(literal(2)))
    with pytest.raises(psycopg.Error, match=r"task g\.t is mapped inside a mapped task group") as error:
        await engine.register_version(connection, dag("d", [inside], task_groups=[mapped_group("g", literal(2))]))
    assert error.value.sqlstate == "LF422"


async def test_what_ends_in_the_step_that_expands_a_task_counts_once(connection: Connection) -> None:
    worker = await new_worker(connection)
    deep = task("o.i.deep", "held", "cells", "o.before", "o.other", group_id="o.i", trigger_rule="all_done")
    tasks = [task("held"), task("cells"), task("o.before", "held", group_id="o"), task("o.other", group_id="o"), deep]
    groups = [mapped_group("o", literal(2)), mapped_group("o.i", result("cells"), parent_group_id="o")]
    run = await run_of(connection, dag("d", tasks, task_groups=groups))
    claimed = {one.task_id: one for one in await engine.claim(connection, worker, 9)}
    await engine.finish(connection, worker, [returned(claimed["cells"], 2)])
    await engine.finish(connection, worker, [outcome(claimed["held"], "failed")])
    found = await instances(connection, run)
    assert indexes(found, "o.before") == {0: "upstream_failed", 1: "upstream_failed"}
    assert indexes(found, "o.i.deep") == dict.fromkeys(range(4))
    cursor = await connection.execute(UNLIKE, {"run_key": run.run_key})
    assert not await cursor.fetchall()


@pytest.mark.parametrize("deleted", ["o.i.deep[1]", "o.j.aside[1]"])
async def test_a_group_that_grows_after_an_instance_was_deleted_counts_right(
    connection: Connection, deleted: str
) -> None:
    """Clears what comes after the deleted instance, which stays removed, with more rows and cells than before."""
    worker = await new_worker(connection)
    run = await run_of(connection, nested(result("rows"), result("cells"), result("others")))
    await drain(connection, worker, {"rows": 2, "cells": 2, "others": 2})
    name, _, index = deleted.rstrip("]").partition("[")
    await connection.execute("select leoflow_core.api_delete_instance('d', %s, %s, %s)", (run.run_id, name, int(index)))
    rest = [["o.i.deep", i] for i in range(4)] + [["o.j.aside", i] for i in range(4)]
    again = ["rows", "cells", "others", "o.before", "o.i.deeper", "o.after", "end"]
    await engine.clear_tasks(
        connection, "d", run.run_id, [*again, *(tuple(one) for one in rest if one != [name, int(index)])]
    )
    await engine.promote_due(connection)
    running = await engine.claim(connection, worker, 10)
    lengths = {"rows": 3, "cells": 3, "others": 3}
    while running:
        one = running.pop()
        ends = returned(one, lengths[one.task_id]) if one.task_id in lengths else outcome(one)
        await engine.finish(connection, worker, [ends])
        cursor = await connection.execute(UNLIKE, {"run_key": run.run_key})
        assert not await cursor.fetchall()
        running += await engine.claim(connection, worker, 10)
    found = await instances(connection, run)
    assert set(indexes(found, "o.j.aside")) == set(indexes(found, "o.i.deep")) == set(range(9))
    assert found[deleted] == "removed"
    assert await run_state(connection, run) == "success"
    await invariants.check(connection)
