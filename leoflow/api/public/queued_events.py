"""Events of assets that wait for others before they make a run."""

from typing import Any

from fastapi import APIRouter, HTTPException

from leoflow.api.deps import Conn, Connection, Editor, User, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import MAXIMUM_PAGE_LIMIT, Ordering, Page
from leoflow.api.public import audit, store
from leoflow.api.public.asset_models import Key, QueuedEventCollectionResponse, QueuedEventResponse
from leoflow.api.public.criteria import Moment
from leoflow.db import queries

SQL = queries.load("api_assets")
router = APIRouter(tags=["Asset"])
RELATION = "leoflow_core.api_queued_events q"
ORDER = Ordering({"asset_id": "q.asset_id", "dag_id": "q.dag_id"}, default="dag_id", unique="asset_id")


@router.get("/assets/{asset_id}/queuedEvents", response_model=QueuedEventCollectionResponse)
async def get_asset_queued_events(asset_id: Key, conn: Conn, _: Viewer, before: Moment | None = None) -> Any:
    """List the changes of an asset that did not make a run yet."""
    where = Where()
    where.equals("q.asset_id", asset_id)
    return await _list(conn, where, before)


@router.delete("/assets/{asset_id}/queuedEvents", status_code=204)
async def delete_asset_queued_events(asset_id: Key, conn: Conn, user: Editor, before: Moment | None = None) -> None:
    """Have them make no run."""
    if not await _forget(conn, user, "delete_asset_queued_events", None, asset_id, before):
        raise HTTPException(404, f"Queue event with asset_id: `{asset_id}` was not found")


@router.get("/dags/{dag_id}/assets/queuedEvents", response_model=QueuedEventCollectionResponse)
async def get_dag_asset_queued_events(dag_id: str, conn: Conn, _: Viewer, before: Moment | None = None) -> Any:
    """List the changes that wait for others to make a run of a DAG."""
    where = Where()
    where.equals("q.dag_id", dag_id)
    return await _list(conn, where, before)


@router.delete("/dags/{dag_id}/assets/queuedEvents", status_code=204)
async def delete_dag_asset_queued_events(dag_id: str, conn: Conn, user: Editor, before: Moment | None = None) -> None:
    """Have them make no run."""
    if not await _forget(conn, user, "delete_dag_asset_queued_events", dag_id, None, before):
        raise HTTPException(404, f"Queue event with dag_id: `{dag_id}` was not found")


@router.get("/dags/{dag_id}/assets/{asset_id}/queuedEvents", response_model=QueuedEventResponse)
async def get_dag_asset_queued_event(
    dag_id: str, asset_id: Key, conn: Conn, _: Viewer, before: Moment | None = None
) -> Any:
    """Get the changes of an asset that wait to make a run of a DAG."""
    names = {"dag_id": dag_id, "asset_id": asset_id, "before": before}
    found = await store.row(conn, SQL.queued_event, names)
    if found is None:
        raise _missing(dag_id, asset_id)
    return found


@router.delete("/dags/{dag_id}/assets/{asset_id}/queuedEvents", status_code=204)
async def delete_dag_asset_queued_event(
    dag_id: str, asset_id: Key, conn: Conn, user: Editor, before: Moment | None = None
) -> None:
    """Have them make no run."""
    if not await _forget(conn, user, "delete_dag_asset_queued_event", dag_id, asset_id, before):
        raise _missing(dag_id, asset_id)


async def _list(conn: Connection, where: Where, before: Moment | None) -> dict[str, Any]:
    where.range("q.created_at", lt=before)
    found, total = await store.listing(conn, RELATION, where, ORDER.parse(None), Page(MAXIMUM_PAGE_LIMIT, 0))
    return {"queued_events": found, "total_entries": total}


async def _forget(
    conn: Connection, user: User, event: str, dag_id: str | None, asset_id: int | None, before: Moment | None
) -> int:
    names = {"dag_id": dag_id, "asset_id": asset_id, "before": before}
    async with conn.transaction():
        forgotten = int(await store.value(conn, SQL.forget, names))
        await audit.record(conn, user, event, dag_id=dag_id, extra={"asset_id": asset_id, "method": "DELETE"})
    return forgotten


def _missing(dag_id: str, asset_id: int) -> HTTPException:
    return HTTPException(404, f"Queued event with dag_id: `{dag_id}` and asset_id: `{asset_id}` was not found")
