"""Moving a run to the latest version: its instances stay, new tasks join it, vanished ones are removed."""

from typing import Any

import pytest

from leoflow import engine
from tests.sql import invariants
from tests.sql.dags import (
    Connection,
    chain,
    dag,
    drain,
    instances,
    literal,
    new_worker,
    outcome,
    over,
    run_of,
    run_state,
    scalar,
    states,
    task,
)

pytestmark = pytest.mark.anyio


async def indexes(conn: Connection, number: int) -> dict[str, int]:
    cursor = await conn.execute(
        "select k.task_id, k.task_idx from leoflow_core.task as k"
        " join leoflow_core.dag_version as v using (version_key) where v.version_number = %s",
        (number,),
    )
    return dict(await cursor.fetchall())


async def clear(conn: Connection, run_id: str, tasks: list[str] | None = None, **fields: Any) -> None:
    await conn.execute(
        "select leoflow.clear_tasks('d', %s, p_tasks => to_jsonb(%s::text[]), p_latest_version => true)",
        (run_id, tasks),
    )


async def test_a_task_keeps_its_index_in_every_version(connection: Connection) -> None:
    for tasks in ("bc", "abc", "ac", "abcd"):
        await engine.register_version(connection, dag("d", [task(one) for one in tasks]))
    assert await indexes(connection, 1) == {"b": 0, "c": 1}
    assert await indexes(connection, 2) == {"a": 2, "b": 0, "c": 1}
    assert await indexes(connection, 3) == {"a": 2, "c": 1}
    assert await indexes(connection, 4) == {"a": 2, "b": 0, "c": 1, "d": 3}


async def test_clearing_on_the_latest_version_moves_a_finished_run(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("d", "extract", "old", "load"))
    await drain(connection, worker, {"load": "failed"})
    await engine.register_version(connection, chain("d", "extract", "check", "load", "report"))
    await clear(connection, run.run_id, ["load"])
    assert await run_state(connection, run) == "queued"
    assert await drain(connection, worker) == ["check", "load", "report"]
    assert await states(connection, run) == {
        "check": "success",
        "extract": "success",
        "load": "success",
        "old": "removed",
        "report": "success",
    }
    assert await run_state(connection, run) == "success"
    versions = "select task_id, version_number from leoflow.task_instances"
    cursor = await connection.execute(versions + " where run_key = %s", (run.run_key,))
    # what was not run again still says what it ran on
    assert dict(await cursor.fetchall()) == {"extract": 1, "old": 1, "check": 2, "load": 2, "report": 2}
    await invariants.check(connection)


async def test_a_run_under_way_moves_too(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("d", "a", "b", "c"))
    (one,) = await engine.claim(connection, worker, 1)
    await engine.register_version(connection, chain("d", "a", "b", "new", "c"))
    await clear(connection, run.run_id, ["b"])
    await engine.finish(connection, worker, [outcome(one)])
    assert await drain(connection, worker) == ["b", "new", "c"]
    assert await run_state(connection, run) == "success"
    await invariants.check(connection)


async def test_without_the_flag_a_run_keeps_its_version(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("d", "a", "b"))
    await drain(connection, worker)
    await engine.register_version(connection, chain("d", "a"))
    await engine.clear_tasks(connection, "d", run.run_id)
    assert await drain(connection, worker) == ["a", "b"]


async def test_only_new_tasks_can_be_run(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("d", "a", "b"))
    await drain(connection, worker)
    await engine.register_version(connection, chain("d", "a", "b", "c"))
    new = "select task_id from leoflow_core.add_new_tasks('d', %s, p_dry_run => %s)"
    assert await scalar(connection, new, run.run_id, True) == "c"
    assert await run_state(connection, run) == "success"
    assert await scalar(connection, new, run.run_id, False) == "c"
    assert await drain(connection, worker) == ["c"]
    assert await run_state(connection, run) == "success"
    assert await scalar(connection, "select max(try_number) from leoflow.task_instances") == 1


@pytest.mark.parametrize(("before", "after"), [(None, 3), (2, 3), (5, 3), (5, None)])
async def test_a_map_of_another_length_has_the_instances_of_the_latest_version(
    connection: Connection, before: int | None, after: int | None
) -> None:
    """None: not mapped."""

    def spec(length: int | None) -> dict[str, Any]:
        each = task("each", "a", **({} if length is None else {"mapping": over(literal(length))}))
        return dag("d", [task("a"), each, task("sum", "each")])

    worker = await new_worker(connection)
    run = await run_of(connection, spec(before))
    await drain(connection, worker)
    if before == 5:  # and one is not part of it any more
        await connection.execute("select leoflow_core.api_delete_instance('d', %s, 'each', 4)", (run.run_id,))
    await engine.register_version(connection, spec(after))
    await clear(connection, run.run_id)
    names = ["each"] if after is None else [f"each[{index}]" for index in range(after)]
    assert await drain(connection, worker) == ["a", *names, "sum"]
    found = await instances(connection, run)
    assert {name for name, state in found.items() if state == "success"} == {"a", *names, "sum"}
    assert len(found) == len(names) + 2 + max((before or 0) - (after or before or 0), 0)
    assert await run_state(connection, run) == "success"
    await invariants.check(connection)


async def test_a_task_that_was_removed_comes_back_with_a_version_that_has_it_again(connection: Connection) -> None:
    worker = await new_worker(connection)
    run = await run_of(connection, chain("d", "a", "b", "c"))
    await drain(connection, worker)
    for tasks, again in (("ac", ["c"]), ("abc", ["b", "c"])):
        await engine.register_version(connection, chain("d", *tasks))
        await clear(connection, run.run_id, ["c"])
        assert (await states(connection, run)).get("b") == ("removed" if "b" not in tasks else None)
        assert await drain(connection, worker) == again
    assert await states(connection, run) == dict.fromkeys("abc", "success")
    await invariants.check(connection)
