"""A DAG with maps, run to its end, as the API and the UI show it: the bodies recorded from Airflow 3.2.2."""

import json
from typing import Any

import httpx
import pytest

from leoflow import engine
from leoflow.db.pool import Pool
from tests.contract.ui import seed
from tests.contract.ui.shapes import assert_shape, golden
from tests.sql.dags import drain, new_worker, over, result, returned, run_of

pytestmark = pytest.mark.anyio

RUN = "manual__2026-11-22T14:30:22.101552+00:00"
DATES = {"min_start_date", "max_end_date"}


def spec() -> dict[str, Any]:
    """The DAG the bodies were recorded from."""
    group = {"group_id": "grp", "label": "grp", "is_mapped": True, "mapping": over({"type": "literal", "length": 3})}
    return seed.dag(
        "mapped_dag",
        [
            seed.task("make_list"),
            seed.task("add_one", "make_list", mapping=over(result("make_list"))),
            seed.task("sum_it", "add_one"),
            seed.task("grp.sq", group_id="grp"),
            seed.task("grp.neg", "grp.sq", group_id="grp"),
        ],
        task_groups=[group],
        is_paused_upon_creation=False,
    )


async def test_a_finished_run_looks_as_in_airflow(admin: httpx.AsyncClient, pool: Pool) -> None:
    async with pool.connection() as conn:
        worker = await new_worker(conn)
        await run_of(conn, spec(), run_id=RUN)
        await drain(conn, worker, {"make_list": 5})
    structure = await admin.get("/ui/grid/structure/mapped_dag")
    assert structure.json() == golden("grid_structure_mapped")

    answer = await admin.get("/ui/grid/ti_summaries/mapped_dag", params={"run_ids": RUN})
    ours = json.loads(answer.text.splitlines()[0])
    theirs = golden("ti_summaries_mapped")
    assert [_timeless(one) for one in ours["task_instances"]] == [_timeless(one) for one in theirs["task_instances"]]

    base = f"/api/v2/dags/mapped_dag/dagRuns/{RUN}/taskInstances"
    one = (await admin.get(f"{base}/add_one/2")).json()
    assert_shape(one | {"rendered_fields": None}, golden("mapped_instance"))
    assert (one["map_index"], one["state"]) == (2, "success")
    listed = (await admin.get(f"{base}/add_one/listMapped", params={"limit": 2, "order_by": "-map_index"})).json()
    assert listed["total_entries"] == 5
    assert [each["map_index"] for each in listed["task_instances"]] == [4, 3]
    assert (await admin.get(f"{base}/grp.neg/listMapped")).json()["total_entries"] == 3
    unindexed = await admin.get(f"{base}/add_one")
    assert unindexed.status_code == 404
    assert unindexed.json()["detail"] == "Task instance is mapped, add the map_index value to the URL"
    assert (await admin.get(f"{base}/sum_it/listMapped")).status_code == 404


async def test_an_unexpanded_task_is_one_instance_without_a_state(admin: httpx.AsyncClient, pool: Pool) -> None:
    async with pool.connection() as conn:
        worker = await new_worker(conn)
        await run_of(conn, spec(), run_id=RUN)
        base = f"/api/v2/dags/mapped_dag/dagRuns/{RUN}/taskInstances"
        one = (await admin.get(f"{base}/add_one")).json()
        assert (one["map_index"], one["state"]) == (-1, None)
        claimed = {each.task_id: each for each in await engine.claim(conn, worker, 10)}
        await engine.finish(conn, worker, [returned(claimed["make_list"], 2)])
        await engine.finish(conn, worker, [engine.Outcome((await engine.claim(conn, worker, 1))[0].ref, "failed")])
    answer = await admin.get("/ui/grid/ti_summaries/mapped_dag", params={"run_ids": RUN})
    [add_one] = [
        one for one in json.loads(answer.text.splitlines()[0])["task_instances"] if one["task_id"] == "add_one"
    ]
    assert add_one["state"] == "failed"
    assert add_one["child_states"] == {"failed": 1, "scheduled": 1}


async def test_one_instance_is_cleared_and_marked_by_its_index(admin: httpx.AsyncClient, pool: Pool) -> None:
    async with pool.connection() as conn:
        worker = await new_worker(conn)
        run = await run_of(conn, spec(), run_id=RUN)
        await drain(conn, worker, {"make_list": 3, "add_one[1]": "failed"})
        marked = await admin.patch(
            f"/api/v2/dags/mapped_dag/dagRuns/{RUN}/taskInstances/add_one/1", json={"new_state": "success"}
        )
        assert [one["map_index"] for one in marked.json()["task_instances"]] == [1]
        cleared = await admin.post(
            "/api/v2/dags/mapped_dag/clearTaskInstances",
            json={"dry_run": False, "dag_run_id": RUN, "task_ids": [["add_one", 2]], "only_failed": False},
        )
        assert [one["map_index"] for one in cleared.json()["task_instances"]] == [2]
        await engine.promote_due(conn)
        assert await drain(conn, worker) == ["add_one[2]", "sum_it"]  # marking let the sum go on
        assert run.run_id == RUN


def _timeless(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in DATES}
