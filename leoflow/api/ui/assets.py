"""`/ui/next_run_assets` and `/ui/partitioned_dag_runs`: what an asset-scheduled DAG waits for."""

from typing import Any

from fastapi import APIRouter, HTTPException

from leoflow.api.deps import Conn, Connection, Viewer
from leoflow.api.rows import Row, row, rows
from leoflow.api.ui.models import NextRunAsset, PartitionedRun, PendingPartitionedRun
from leoflow.db import queries

router = APIRouter(tags=["Asset"])


@router.get("/next_run_assets/{dag_id}")
async def get_next_run_assets(dag_id: str, conn: Conn, _: Viewer) -> dict[str, Any]:
    """Return the condition a DAG's next run waits for, and which of its assets have changed since the last one."""
    dag = await _dag(conn, dag_id)
    found = await rows(conn, queries.load("ui").next_run_assets, {"dag_id": dag_id})
    events = [NextRunAsset.model_validate(event).model_dump(mode="json") for event in found]
    answer = {"asset_expression": dag["asset_expression"], "events": events}
    if _is_partitioned(dag):
        [pending] = await rows(conn, queries.load("ui").pending_partitions, {"dag_id": dag_id})
        answer["pending_partition_count"] = pending["count"]
    return answer


@router.get("/partitioned_dag_runs")
async def get_partitioned_runs(
    conn: Conn, _: Viewer, dag_id: str | None = None, has_created_dag_run_id: bool | None = None
) -> dict[str, Any]:
    """Return the runs of partitions that asset events asked for: those that wait for more events, and those made."""
    if dag_id is not None and not _is_partitioned(await _dag(conn, dag_id)):
        return {"partitioned_dag_runs": [], "total": 0, "asset_expressions": None}
    found = await _partitioned(conn, dag_id, None, has_created_dag_run_id)
    expressions = None if dag_id is not None or not found else {run["dag_id"]: run["asset_expression"] for run in found}
    shown = [PartitionedRun.model_validate(run).model_dump(mode="json") for run in found]
    return {"partitioned_dag_runs": shown, "total": len(shown), "asset_expressions": expressions}


@router.get("/pending_partitioned_dag_run/{dag_id}/{partition_key:path}")
async def get_pending_partitioned_run(dag_id: str, partition_key: str, conn: Conn, _: Viewer) -> dict[str, Any]:
    """Return a run that waits for more events of its partition, with the assets that lack one."""
    found = await _partitioned(conn, dag_id, partition_key, False)
    if not found:
        raise HTTPException(404, f"No PartitionedDagRun for dag={dag_id} partition={partition_key}")
    run = found[0]
    assets = await rows(conn, queries.load("ui").partition_assets, {"id": run["id"]})
    return PendingPartitionedRun.model_validate({**run, "assets": assets}).model_dump(mode="json")


async def _partitioned(
    conn: Connection, dag_id: str | None, partition_key: str | None, has_run: bool | None
) -> list[Row]:
    parameters = {"dag_id": dag_id, "partition_key": partition_key, "has_run": has_run}
    return await rows(conn, queries.load("ui").partitioned_runs, parameters)


def _is_partitioned(dag: Row) -> bool:
    return (dag["schedule"] or {}).get("type") == "partitioned_assets"


async def _dag(conn: Connection, dag_id: str) -> Row:
    dag = await row(conn, queries.load("ui").schedule, {"dag_id": dag_id})
    if dag is None:
        raise HTTPException(404, f"Dag with id {dag_id} was not found")
    return dag
