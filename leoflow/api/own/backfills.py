"""`/api/v2/leoflow/backfills/{id}/runs`: each date of a backfill, with its run or the reason why there is none."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from leoflow.api.deps import Conn, Viewer
from leoflow.api.public import store
from leoflow.api.public.backfills import SQL, Key
from leoflow.api.public.shapes import DagRunState

router = APIRouter(prefix="/backfills")


class BackfillRunResponse(BaseModel):
    """One date or partition of a backfill; `exception_reason` says why it has no new run."""

    sort_ordinal: int
    logical_date: datetime | None
    partition_key: str | None
    dag_run_id: str | None
    state: DagRunState | None
    exception_reason: str | None


class BackfillRunCollectionResponse(BaseModel):
    """The dates of a backfill, in the order their runs start."""

    runs: list[BackfillRunResponse]
    total_entries: int


@router.get("/{backfill_id}/runs", response_model=BackfillRunCollectionResponse)
async def get_backfill_runs(backfill_id: Key, conn: Conn, _: Viewer) -> Any:
    """List the dates of a backfill."""
    if await store.row(conn, SQL.one, {"id": backfill_id}) is None:
        raise HTTPException(404, f"Could not find backfill with id {backfill_id}")
    found = await store.rows(conn, SQL.runs, {"id": backfill_id})
    return {"runs": found, "total_entries": len(found)}
