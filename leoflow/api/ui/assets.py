"""`/ui/next_run_assets` and `/ui/partitioned_dag_runs`: what an asset-scheduled DAG waits for.

Partitioned schedules are described and drawn, but start no runs, so no run of a partition is ever pending.
"""

from typing import Any

from fastapi import APIRouter, HTTPException

from leoflow.api.deps import Conn, Connection, Viewer
from leoflow.api.rows import Row, row, rows
from leoflow.api.ui.models import NextRunAsset
from leoflow.db import queries

router = APIRouter(tags=["Asset"])


@router.get("/next_run_assets/{dag_id}")
async def get_next_run_assets(dag_id: str, conn: Conn, _: Viewer) -> dict[str, Any]:
    """Return the condition a DAG's next run waits for, and which of its assets have changed since the last one."""
    dag = await _dag(conn, dag_id)
    found = await rows(conn, queries.load("ui").next_run_assets, {"dag_id": dag_id})
    events = [NextRunAsset.model_validate(event).model_dump(mode="json") for event in found]
    answer = {"asset_expression": dag["asset_expression"], "events": events}
    if (dag["schedule"] or {}).get("type") == "partitioned_assets":
        answer["pending_partition_count"] = 0
    return answer


@router.get("/partitioned_dag_runs")
async def get_partitioned_runs(
    conn: Conn,
    _: Viewer,
    dag_id: str | None = None,
    has_created_dag_run_id: bool | None = None,  # noqa: ARG001
) -> dict[str, Any]:
    """Return the runs that wait for more events of their partition."""
    if dag_id is not None:
        await _dag(conn, dag_id)
    return {"partitioned_dag_runs": [], "total": 0, "asset_expressions": None}


@router.get("/pending_partitioned_dag_run/{dag_id}/{partition_key}")
async def get_pending_partitioned_run(dag_id: str, partition_key: str, _: Viewer) -> dict[str, Any]:
    """Return one such run."""
    raise HTTPException(404, f"No PartitionedDagRun for dag={dag_id} partition={partition_key}")


async def _dag(conn: Connection, dag_id: str) -> Row:
    dag = await row(conn, queries.load("ui").schedule, {"dag_id": dag_id})
    if dag is None:
        raise HTTPException(404, f"Dag with id {dag_id} was not found")
    return dag
