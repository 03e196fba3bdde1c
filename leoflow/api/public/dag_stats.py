"""How many runs of each state a DAG has, and the tags and warnings of DAGs."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from leoflow.api.deps import Conn, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public import store
from leoflow.api.public.shapes import DagRunState
from leoflow.db import queries

SQL = queries.load("api_dag_stats")
router = APIRouter()
TAG_ORDER = Ordering({"name": "t.name"}, default="name", unique="name")
WARNING_ORDER = Ordering(
    {
        "dag_id": "w.dag_id",
        "warning_type": "w.warning_type",
        "message": "w.message",
        "timestamp": 'w."timestamp"',
    },
    default="dag_id",
    unique="dag_id",
)


class DagStatsStateResponse(BaseModel):
    """A state and how many runs are in it."""

    state: DagRunState
    count: int


class DagStatsResponse(BaseModel):
    """A DAG's counts."""

    dag_id: str
    dag_display_name: str
    stats: list[DagStatsStateResponse]


class DagStatsCollectionResponse(BaseModel):
    """DAGs' counts."""

    dags: list[DagStatsResponse]
    total_entries: int


class DAGTagCollectionResponse(BaseModel):
    """Tags."""

    tags: list[str]
    total_entries: int


class DAGWarningResponse(BaseModel):
    """Something about a DAG that works, but not as its author may think."""

    dag_id: str
    warning_type: str
    message: str
    timestamp: datetime
    dag_display_name: str


class DAGWarningCollectionResponse(BaseModel):
    """Warnings."""

    dag_warnings: list[DAGWarningResponse]
    total_entries: int


@router.get("/dagStats", response_model=DagStatsCollectionResponse, tags=["DagStats"])
async def get_dag_stats(conn: Conn, _: Viewer, dag_ids: Annotated[list[str] | None, Query()] = None) -> Any:
    """Count runs by state, of some DAGs or of all."""
    found = await store.rows(conn, SQL.stats, {"dag_ids": dag_ids or None})
    return {"dags": found, "total_entries": len(found)}


@router.get("/dagTags", response_model=DAGTagCollectionResponse, tags=["DAG"])
async def get_dag_tags(
    conn: Conn,
    _: Viewer,
    page: Paged,
    order_by: Annotated[list[str] | None, Query()] = None,
    tag_name_pattern: str | None = None,
    tag_name_prefix_pattern: str | None = None,
) -> Any:
    """List the tags in use."""
    where = Where()
    where.contains("t.name", tag_name_pattern)
    where.starts_with("t.name", tag_name_prefix_pattern)
    found, total = await store.listing(conn, "leoflow_core.api_dag_tags t", where, TAG_ORDER.parse(order_by), page)
    return {"tags": [row["name"] for row in found], "total_entries": total}


@router.get("/dagWarnings", response_model=DAGWarningCollectionResponse, tags=["DagWarning"])
async def list_dag_warnings(
    conn: Conn,
    _: Viewer,
    page: Paged,
    dag_id: str | None = None,
    warning_type: str | None = None,
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """List warnings: tasks whose pool does not exist."""
    where = Where()
    where.equals("w.dag_id", dag_id)
    where.equals("w.warning_type", warning_type)
    relation = "leoflow_core.api_dag_warnings w"
    found, total = await store.listing(conn, relation, where, WARNING_ORDER.parse(order_by), page)
    return {"dag_warnings": found, "total_entries": total}
