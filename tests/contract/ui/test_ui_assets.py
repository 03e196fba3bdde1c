"""Assets in the UI's own API: for the DAGs of Airflow 3.2.2's recorded answers, exactly these answers."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from leoflow import engine
from leoflow.config import SchedulerSettings, UserCodeSettings
from leoflow.db.pool import Pool
from leoflow.scheduler.partitioned_runs import PartitionedRuns
from tests.contract import lake
from tests.contract.ui import seed
from tests.contract.ui.shapes import golden
from tests.sql.assets import all_of, asset
from tests.sql.dags import dag, task

pytestmark = pytest.mark.anyio

DAGS = [
    seed.dag("asset_consumer", [seed.task("consume", **lake.CONSUMER)], **lake.schedule(lake.RAW)),
    seed.dag(
        "asset_multi_consumer",
        [seed.task("c", operator="BashOperator", operator_name="BashOperator")],
        **lake.schedule(lake.RAW, lake.CLEAN),
    ),
    seed.dag("asset_producer", [seed.task("produce", **lake.PRODUCER)]),
    seed.dag("controller", [seed.task("trig", **lake.TRIGGER)]),
]


@pytest.fixture
async def lake_ui(admin: httpx.AsyncClient, connection: AsyncConnection[Any]) -> AsyncIterator[httpx.AsyncClient]:
    for spec in DAGS:
        await seed.register(connection, spec)
    yield admin


def unordered(graph: dict[str, Any]) -> dict[str, Any]:
    return {key: sorted(graph[key], key=str) for key in ("edges", "nodes")}


async def test_graphs_are_airflows(lake_ui: httpx.AsyncClient) -> None:
    structure = "/ui/structure/structure_data?external_dependencies=true&dag_id="
    for path, name in (
        (f"{structure}asset_multi_consumer", "structure_data_asset_multi_consumer"),
        (f"{structure}asset_consumer", "structure_data_asset_consumer"),
        ("/ui/dependencies?node_id=dag:asset_consumer", "dependencies_component"),
        ("/ui/next_run_assets/asset_multi_consumer", "next_run_assets"),
    ):
        assert (await lake_ui.get(path)).json() == golden(name), path
    lineage = (await lake_ui.get("/ui/dependencies?node_id=asset:1&dependency_type=data")).json()
    assert unordered(lineage) == unordered(golden("dependencies_data"))
    # We add the node of a DAG that is only triggered: Airflow draws an arrow to nowhere.
    whole, theirs = (await lake_ui.get("/ui/dependencies")).json(), golden("dependencies")
    assert whole["edges"] == theirs["edges"]
    assert [n for n in whole["nodes"] if n["id"] != "dag:params_dag"] == theirs["nodes"]


async def test_what_has_changed_since_the_last_run_has_a_date(
    lake_ui: httpx.AsyncClient, connection: AsyncConnection[Any]
) -> None:
    await connection.execute("select leoflow.create_asset_event('clean_data')")
    body = (await lake_ui.get("/ui/next_run_assets/asset_multi_consumer")).json()
    assert {event["name"]: event["lastUpdate"] is None for event in body["events"]} == {
        "clean_data": False,
        "raw_data": True,
    }
    [card] = (await lake_ui.get("/ui/dags?dag_ids=asset_multi_consumer")).json()["dags"]
    assert card["asset_expression"] == golden("next_run_assets")["asset_expression"]


async def test_nested_conditions_aliases_and_references_are_drawn(
    lake_ui: httpx.AsyncClient, connection: AsyncConnection[Any]
) -> None:
    def gate(kind: str, *objects: dict[str, Any]) -> dict[str, Any]:
        return {"type": kind, "objects": list(objects)}

    alias = {"type": "alias", "name": "files", "group": "asset"}
    nested = gate("any", lake.RAW, gate("all", lake.CLEAN, alias), gate("all", {"type": "name_ref", "name": "ghost"}))
    spec = seed.dag("nested", [seed.task("t", outlets=[alias])], schedule={"type": "assets", "expression": nested})
    await seed.register(connection, spec)
    body = (await lake_ui.get("/ui/structure/structure_data?dag_id=nested&external_dependencies=true")).json()
    assert {node["id"]: node["type"] for node in body["nodes"]} == {
        "t": "task",
        "asset-alias:files": "asset-alias",
        "or-gate-0": "asset-condition",
        "1": "asset",
        "and-gate-1": "asset-condition",
        "2": "asset",
        "files": "asset-alias",
        "and-gate-1-2": "asset-condition",
        "ghost": "asset-name-ref",
    }
    assert {(edge["source_id"], edge["target_id"]) for edge in body["edges"]} == {
        ("or-gate-0", "t"),
        ("1", "or-gate-0"),
        ("and-gate-1", "or-gate-0"),
        ("2", "and-gate-1"),
        ("files", "and-gate-1"),
        ("and-gate-1-2", "or-gate-0"),
        ("ghost", "and-gate-1-2"),
        ("t", "asset-alias:files"),
    }
    graph = (await lake_ui.get("/ui/dependencies?node_id=dag:nested")).json()
    ids = {node["id"] for node in graph["nodes"]}
    assert {"asset-alias:files", "asset-name-ref:ghost", "asset:1", "dag:asset_producer"} <= ids


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        (
            "/ui/dependencies?dependency_type=data",
            400,
            "Data dependencies require an asset node_id (e.g., 'asset:123')",
        ),
        ("/ui/dependencies?dependency_type=data&node_id=asset:x", 400, "Invalid asset node_id: asset:x"),
        ("/ui/dependencies?dependency_type=data&node_id=asset:9", 404, "Asset with id 9 was not found"),
    ],
)
async def test_refusals(admin: httpx.AsyncClient, path: str, status: int, detail: str) -> None:
    answer = await admin.get(path)
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


async def test_runs_that_wait_for_their_partition_are_shown(admin: httpx.AsyncClient, pool: Pool) -> None:
    schedule = {
        **{"type": "partitioned_assets", "mappers": [], "default_mapper": {"type": "identity"}},
        "expression": all_of(asset("a"), asset("b")),
    }
    async with pool.connection() as conn:
        await engine.register_version(conn, dag("parts", [task("use")], schedule=schedule))

    async def event(asset_id: int, key: str) -> None:
        body = {"asset_id": asset_id, "partition_key": key}
        assert (await admin.post("/api/v2/assets/events", json=body)).json()["partition_key"] == key
        await PartitionedRuns(pool, SchedulerSettings(), UserCodeSettings(), None).work()  # type: ignore[arg-type]

    assert (await admin.get("/ui/partitioned_dag_runs")).json() == EMPTY
    await event(1, "eu/2026")
    await event(1, "us")
    await event(2, "us")
    [run] = (await admin.get("/api/v2/dags/parts/dagRuns")).json()["dag_runs"]
    assert (run["partition_key"], run["run_type"]) == ("us", "asset_triggered")
    shown = (await admin.get("/ui/partitioned_dag_runs", params={"dag_id": "parts"})).json()
    assert (shown["total"], shown["asset_expressions"]) == (2, None)
    first, second = shown["partitioned_dag_runs"]
    assert first["created_at"].endswith("+00:00")
    told = ("dag_id", "partition_key", "state", "created_dag_run_id", "total_received", "total_required")
    assert [first[name] for name in told] == ["parts", "us", "running", run["dag_run_id"], 2, 2]
    assert [second[name] for name in told] == ["parts", "eu/2026", "pending", None, 1, 2]
    waiting = (await admin.get("/ui/partitioned_dag_runs", params={"has_created_dag_run_id": False})).json()
    assert [each["partition_key"] for each in waiting["partitioned_dag_runs"]] == ["eu/2026"]
    assert waiting["asset_expressions"]["parts"]["all"][0]["asset"]["name"] == "a"
    one = (await admin.get("/ui/pending_partitioned_dag_run/parts/eu%2F2026")).json()
    assert [(each["asset_name"], each["received"]) for each in one["assets"]] == [("b", False), ("a", True)]
    assert (one["total_received"], one["total_required"], one["created_dag_run_id"]) == (1, 2, None)
    answer = await admin.get("/ui/pending_partitioned_dag_run/parts/us")
    assert answer.json() == {"detail": "No PartitionedDagRun for dag=parts partition=us"}
    following = (await admin.get("/ui/next_run_assets/parts")).json()
    assert following["pending_partition_count"] == 1
    assert [each["lastUpdate"] is not None for each in following["events"]] == [True, False]


EMPTY = {"partitioned_dag_runs": [], "total": 0, "asset_expressions": None}
