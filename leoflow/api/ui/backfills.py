"""`/ui/backfills`: backfills of a DAG. None can be created yet, so the list is empty."""

from fastapi import APIRouter

from leoflow.api.deps import Viewer
from leoflow.api.paging import Paged
from leoflow.api.ui.models import Backfills

router = APIRouter(tags=["Backfill"])


@router.get("/backfills")
async def list_backfills(
    _: Viewer,
    paged: Paged,  # noqa: ARG001
    dag_id: str | None = None,  # noqa: ARG001
    active: bool | None = None,  # noqa: ARG001
) -> Backfills:
    """Return backfills, newest last."""
    return Backfills(backfills=[], total_entries=0)
