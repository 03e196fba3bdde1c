"""`/ui/backfills`: backfills of one DAG or of all, the active ones alone if asked."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from leoflow.api.deps import Conn, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Paged
from leoflow.api.public import store
from leoflow.api.public.backfills import ORDER, RELATION, BackfillCollectionResponse

router = APIRouter(tags=["Backfill"])


@router.get("/backfills", response_model=BackfillCollectionResponse)
async def list_backfills(
    conn: Conn,
    _: Viewer,
    page: Paged,
    dag_id: str | None = None,
    active: bool | None = None,
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """Return backfills, newest last."""
    where = Where()
    where.equals("b.dag_id", dag_id)
    if active is not None:
        where.add("(b.completed_at is null) = %s", active)
    found, total = await store.listing(conn, RELATION, where, ORDER.parse(order_by), page)
    return {"backfills": found, "total_entries": total}
