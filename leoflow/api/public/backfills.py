"""Backfills. This release makes none, so the collections are truly empty and making one is refused with a remedy."""

from typing import Annotated, Any, Literal, NoReturn

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from leoflow.api.deps import Conn, Editor, Viewer
from leoflow.api.paging import Paged
from leoflow.api.public.criteria import Moment
from leoflow.api.public.lookup import dag_or_404
from leoflow.api.public.shapes import StrictBody

router = APIRouter(prefix="/backfills", tags=["Backfill"])
Key = Annotated[int, Field(ge=0, lt=2**31)]


class BackfillCollectionResponse(BaseModel):
    """Backfills."""

    backfills: list[dict[str, Any]]
    total_entries: int


class BackfillPostBody(StrictBody):
    """A backfill to make."""

    dag_id: str
    from_date: Moment
    to_date: Moment
    run_backwards: bool = False
    dag_run_conf: dict[str, Any] | None = None
    reprocess_behavior: Literal["failed", "completed", "none"] = "none"
    max_active_runs: int = 10
    run_on_latest_version: bool = True


@router.get("", response_model=BackfillCollectionResponse)
async def list_backfills(dag_id: str, _: Viewer, page: Paged) -> Any:
    """List the backfills of a DAG."""
    return {"backfills": [], "total_entries": 0}


@router.post("")
async def create_backfill(body: BackfillPostBody, conn: Conn, _: Editor) -> Any:
    """Refuse to make a backfill."""
    await _refuse(conn, body)


@router.post("/dry_run")
async def create_backfill_dry_run(body: BackfillPostBody, conn: Conn, _: Editor) -> Any:
    """Refuse to plan a backfill."""
    await _refuse(conn, body)


@router.get("/{backfill_id}")
async def get_backfill(backfill_id: Key, _: Viewer) -> Any:
    """Get a backfill."""
    raise _missing(backfill_id)


@router.put("/{backfill_id}/pause")
async def pause_backfill(backfill_id: Key, _: Editor) -> Any:
    """Pause a backfill."""
    raise _missing(backfill_id)


@router.put("/{backfill_id}/unpause")
async def unpause_backfill(backfill_id: Key, _: Editor) -> Any:
    """Go on with a backfill."""
    raise _missing(backfill_id)


@router.put("/{backfill_id}/cancel")
async def cancel_backfill(backfill_id: Key, _: Editor) -> Any:
    """Cancel a backfill."""
    raise _missing(backfill_id)


def _missing(backfill_id: int) -> HTTPException:
    return HTTPException(404, f"Could not find backfill with id {backfill_id}")


async def _refuse(conn: Conn, body: BackfillPostBody) -> NoReturn:
    await dag_or_404(conn, body.dag_id)
    if body.from_date > body.to_date:
        raise HTTPException(422, "from_date must not be after to_date")
    raise HTTPException(
        422,
        "This release of Leoflow makes no backfills. Trigger one run for each logical date instead "
        f"(POST /api/v2/dags/{body.dag_id}/dagRuns with logical_date, or `leoflow run --logical-date`).",
    )
