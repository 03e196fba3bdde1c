"""`/ui/dags/{dag_id}/dagRuns/{run_id}/deadlines` and `/ui/teams`."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from psycopg import sql

from leoflow.api.deps import Conn, Viewer
from leoflow.api.paging import Ordering, Paged
from leoflow.api.rows import rows, value
from leoflow.api.ui.models import Deadline, Deadlines
from leoflow.db import queries

router = APIRouter(tags=["Deadlines"])
ORDER = Ordering(
    {
        "id": "l.deadline_id",
        "deadline_time": "l.deadline_time",
        "created_at": "l.created_at",
        "alert_name": "null::text",
    },
    default="deadline_time",
    unique="id",
)


@router.get("/dags/{dag_id}/dagRuns/{dag_run_id}/deadlines")
async def get_deadlines(
    dag_id: str,
    dag_run_id: str,
    conn: Conn,
    _: Viewer,
    paged: Paged,
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Deadlines:
    """Return the deadlines of a run."""
    order = ORDER.parse(order_by)
    run_key = await value(conn, queries.load("ui").run_key, {"dag_id": dag_id, "run_id": dag_run_id})
    if run_key is None:
        raise HTTPException(404, f"No DAG run found for dag_id={dag_id} dag_run_id={dag_run_id}")
    total = await value(conn, queries.load("ui").deadline_count, {"run_key": run_key})
    statement = sql.SQL(
        "select l.deadline_id as id, l.deadline_time, l.missed, l.created_at from leoflow_core.deadline l"
        " where l.run_key = %s order by {} limit %s offset %s"
    )
    found = await rows(conn, statement.format(order.sql()), [run_key, paged.limit, paged.offset])
    return Deadlines(deadlines=[Deadline.model_validate(each) for each in found], total_entries=total)


@router.get("/teams")
async def get_teams(_: Viewer) -> None:
    """Refuse, as Airflow does without teams."""
    raise HTTPException(403, "Multi-team mode is not configured in the Airflow environment")
