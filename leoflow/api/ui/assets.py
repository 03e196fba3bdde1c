"""`/ui/next_run_assets` and `/ui/partitioned_dag_runs`: what an asset-scheduled DAG waits for.

No asset events are stored yet, so no run waits for one.
"""

from typing import Any

from fastapi import APIRouter, HTTPException

from leoflow.api.deps import Conn, Connection, Viewer
from leoflow.api.rows import Row, row
from leoflow.db import queries

router = APIRouter(tags=["Asset"])


@router.get("/next_run_assets/{dag_id}")
async def get_next_run_assets(dag_id: str, conn: Conn, _: Viewer) -> dict[str, Any]:
    """Return the condition a DAG's next run waits for, and the events so far."""
    dag = await _dag(conn, dag_id)
    schedule = dag["schedule"] or {}
    is_asset = schedule.get("type") in {"assets", "asset_or_time"}
    return {"asset_expression": schedule.get("expression") if is_asset else None, "events": []}


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
