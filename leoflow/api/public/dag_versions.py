"""Versions of a DAG, and their source."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from leoflow.api.deps import Conn, Connection, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public import store
from leoflow.api.public.criteria import Small, all_or
from leoflow.api.public.lookup import dag_or_404
from leoflow.api.public.shapes import DagVersionResponse
from leoflow.db import queries

SQL = queries.load("api_dag_versions")
router = APIRouter()
ORDER = Ordering(
    {
        "id": "v.version_key",
        "version_number": "v.version_number",
        "dag_id": "v.dag_id",
        "bundle_name": "v.bundle_name",
        "bundle_version": "v.bundle_version",
        "created_at": "v.created_at",
    },
    default="id",
    unique="id",
)


class DAGVersionCollectionResponse(BaseModel):
    """Versions."""

    dag_versions: list[DagVersionResponse]
    total_entries: int


class DAGSourceResponse(BaseModel):
    """The source of a version."""

    content: str | None
    dag_id: str
    version_number: int | None
    dag_display_name: str


@router.get("/dags/{dag_id}/dagVersions", response_model=DAGVersionCollectionResponse, tags=["DagVersion"])
async def get_dag_versions(
    dag_id: str,
    conn: Conn,
    _: Viewer,
    page: Paged,
    version_number: Small | None = None,
    bundle_name: str | None = None,
    bundle_version: str | None = None,
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """List the versions of a DAG, or of all with `~`."""
    where = Where()
    if only := all_or(dag_id):
        where.equals("v.dag_key", (await dag_or_404(conn, only))["dag_key"])
    where.equals("v.version_number", version_number)
    where.equals("v.bundle_name", bundle_name)
    where.equals("v.bundle_version", bundle_version)
    relation = "leoflow_core.api_dag_versions v"
    found, total = await store.listing(conn, relation, where, ORDER.parse(order_by), page)
    return {"dag_versions": found, "total_entries": total}


@router.get("/dags/{dag_id}/dagVersions/{version_number}", response_model=DagVersionResponse, tags=["DagVersion"])
async def get_dag_version(dag_id: str, version_number: Small, conn: Conn, _: Viewer) -> Any:
    """Get a version."""
    found = await store.row(conn, SQL.version, {"dag_id": dag_id, "version_number": version_number})
    if found is None:
        raise HTTPException(
            404, f"The DagVersion with dag_id: `{dag_id}` and version_number: `{version_number}` was not found"
        )
    return found


@router.get(
    "/dagSources/{dag_id}",
    response_model=DAGSourceResponse,
    tags=["DagSource"],
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_dag_source(
    dag_id: str,
    conn: Conn,
    _: Viewer,
    version_number: Small | None = None,
    accept: Annotated[str, Header()] = "*/*",
) -> Any:
    """Get the source of a version, the latest without a number, as JSON or (`Accept: text/plain`) as it is."""
    wants_text = _wants_text(accept)
    found = await _source(conn, dag_id, version_number)
    if wants_text:
        return PlainTextResponse(found["content"] or "")
    return found


def _wants_text(accept: str) -> bool:
    kinds = [part.partition(";")[0].strip() for part in accept.split(",")]
    if "application/json" in kinds or "*/*" in kinds or "application/*" in kinds:
        return False
    if "text/plain" in kinds or "text/*" in kinds:
        return True
    raise HTTPException(406, "Only application/json or text/plain is supported")


async def _source(conn: Connection, dag_id: str, version_number: int | None) -> store.Row:
    found = await store.row(conn, SQL.source, {"dag_id": dag_id, "version_number": version_number})
    if found is not None:
        return found
    raise HTTPException(404, f"Code not found. dag_id='{dag_id}' version_number='{version_number}'")
