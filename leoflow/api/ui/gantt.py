"""`/ui/gantt`: every try of every unmapped task of a run."""

from fastapi import APIRouter, HTTPException

from leoflow.api.deps import Conn, Viewer
from leoflow.api.rows import rows
from leoflow.api.ui.models import Gantt, GanttTask
from leoflow.db import queries

router = APIRouter(prefix="/gantt", tags=["Gantt"])


@router.get("/{dag_id}/{run_id}")
async def get_gantt(dag_id: str, run_id: str, conn: Conn, _: Viewer) -> Gantt:
    """Return all tries, explicit nulls included."""
    tries = await rows(conn, queries.load("ui").tries, {"dag_id": dag_id, "run_id": run_id})
    if not tries:
        raise HTTPException(404, f"No task instances for dag_id={dag_id} run_id={run_id}")
    return Gantt(dag_id=dag_id, run_id=run_id, task_instances=[GanttTask.model_validate(t) for t in tries])
