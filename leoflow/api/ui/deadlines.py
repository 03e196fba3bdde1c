"""`/ui/dags/{dag_id}/dagRuns/{run_id}/deadlines` and `/ui/teams`."""

from fastapi import APIRouter, HTTPException

from leoflow.api.deps import Conn, Viewer
from leoflow.api.paging import Paged
from leoflow.api.rows import value
from leoflow.api.ui.models import Deadlines
from leoflow.db import queries

router = APIRouter(tags=["Deadlines"])


@router.get("/dags/{dag_id}/dagRuns/{dag_run_id}/deadlines")
async def get_deadlines(
    dag_id: str,
    dag_run_id: str,
    conn: Conn,
    _: Viewer,
    paged: Paged,  # noqa: ARG001
) -> Deadlines:
    """Return the deadlines of a run; none are recorded yet."""
    run_key = await value(conn, queries.load("ui").run_key, {"dag_id": dag_id, "run_id": dag_run_id})
    if run_key is None:
        raise HTTPException(404, f"No DAG run found for dag_id={dag_id} dag_run_id={dag_run_id}")
    return Deadlines(deadlines=[], total_entries=0)


@router.get("/teams")
async def get_teams(_: Viewer) -> None:
    """Refuse, as Airflow does without teams."""
    raise HTTPException(403, "Multi-team mode is not configured in the Airflow environment")
