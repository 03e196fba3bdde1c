"""Assets. This release registers none, so every collection is truly empty."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from leoflow.api.deps import Conn, Editor, Viewer
from leoflow.api.paging import Paged
from leoflow.api.public.lookup import dag_or_404, run_or_404
from leoflow.api.public.shapes import StrictBody

router = APIRouter()
Key = Annotated[int, Field(ge=0, lt=2**31)]


class AssetCollectionResponse(BaseModel):
    """Assets."""

    assets: list[dict[str, Any]]
    total_entries: int


class AssetAliasCollectionResponse(BaseModel):
    """Names that stand for assets."""

    asset_aliases: list[dict[str, Any]]
    total_entries: int


class AssetEventCollectionResponse(BaseModel):
    """Changes of assets."""

    asset_events: list[dict[str, Any]]
    total_entries: int


class QueuedEventCollectionResponse(BaseModel):
    """Changes that did not make a run yet."""

    queued_events: list[dict[str, Any]]
    total_entries: int


class CreateAssetEventsBody(StrictBody):
    """A change to record."""

    asset_id: Key
    partition_key: str | None = None
    extra: dict[str, Any] = {}


@router.get("/assets", response_model=AssetCollectionResponse, tags=["Asset"])
async def get_assets(_: Viewer, page: Paged) -> Any:
    """List assets."""
    return {"assets": [], "total_entries": 0}


@router.get("/assets/aliases", response_model=AssetAliasCollectionResponse, tags=["Asset"])
async def get_asset_aliases(_: Viewer, page: Paged) -> Any:
    """List aliases."""
    return {"asset_aliases": [], "total_entries": 0}


@router.get("/assets/aliases/{asset_alias_id}", tags=["Asset"])
async def get_asset_alias(asset_alias_id: Key, _: Viewer) -> Any:
    """Get an alias."""
    raise HTTPException(404, f"The Asset Alias with ID: `{asset_alias_id}` was not found")


@router.get("/assets/events", response_model=AssetEventCollectionResponse, tags=["Asset"])
async def get_asset_events(_: Viewer, page: Paged) -> Any:
    """List changes."""
    return {"asset_events": [], "total_entries": 0}


@router.post("/assets/events", tags=["Asset"])
async def create_asset_event(body: CreateAssetEventsBody, _: Editor) -> Any:
    """Record a change."""
    raise _missing(body.asset_id)


@router.get("/assets/{asset_id}", tags=["Asset"])
async def get_asset(asset_id: Key, _: Viewer) -> Any:
    """Get an asset."""
    raise _missing(asset_id)


@router.post("/assets/{asset_id}/materialize", tags=["Asset"])
async def materialize_asset(asset_id: Key, _: Editor) -> Any:
    """Run the DAG that makes an asset."""
    raise _missing(asset_id)


@router.get("/assets/{asset_id}/queuedEvents", response_model=QueuedEventCollectionResponse, tags=["Asset"])
async def get_asset_queued_events(asset_id: Key, _: Viewer) -> Any:
    """List the changes of an asset that did not make a run yet."""
    raise HTTPException(404, f"Queue event with asset_id: `{asset_id}` was not found")


@router.delete("/assets/{asset_id}/queuedEvents", status_code=204, tags=["Asset"])
async def delete_asset_queued_events(asset_id: Key, _: Editor) -> None:
    """Forget them."""
    raise HTTPException(404, f"Queue event with asset_id: `{asset_id}` was not found")


@router.get("/dags/{dag_id}/assets/queuedEvents", response_model=QueuedEventCollectionResponse, tags=["Asset"])
async def get_dag_asset_queued_events(dag_id: str, conn: Conn, _: Viewer) -> Any:
    """List the changes that wait for others to make a run of a DAG."""
    await dag_or_404(conn, dag_id)
    return {"queued_events": [], "total_entries": 0}


@router.delete("/dags/{dag_id}/assets/queuedEvents", status_code=204, tags=["Asset"])
async def delete_dag_asset_queued_events(dag_id: str, conn: Conn, _: Editor) -> None:
    """Forget them."""
    await dag_or_404(conn, dag_id)
    raise HTTPException(404, f"Queue event with dag_id: `{dag_id}` was not found")


@router.get("/dags/{dag_id}/assets/{asset_id}/queuedEvents", tags=["Asset"])
async def get_dag_asset_queued_event(dag_id: str, asset_id: Key, _: Viewer) -> Any:
    """Get the change of an asset that waits to make a run of a DAG."""
    raise _no_queued(dag_id, asset_id)


@router.delete("/dags/{dag_id}/assets/{asset_id}/queuedEvents", status_code=204, tags=["Asset"])
async def delete_dag_asset_queued_event(dag_id: str, asset_id: Key, _: Editor) -> None:
    """Forget it."""
    raise _no_queued(dag_id, asset_id)


@router.get(
    "/dags/{dag_id}/dagRuns/{dag_run_id}/upstreamAssetEvents",
    response_model=AssetEventCollectionResponse,
    tags=["DagRun"],
)
async def get_upstream_asset_events(dag_id: str, dag_run_id: str, conn: Conn, _: Viewer) -> Any:
    """List the changes that made a run."""
    await run_or_404(conn, dag_id, dag_run_id)
    return {"asset_events": [], "total_entries": 0}


def _missing(asset_id: int) -> HTTPException:
    return HTTPException(404, f"The Asset with ID: `{asset_id}` was not found")


def _no_queued(dag_id: str, asset_id: int) -> HTTPException:
    return HTTPException(404, f"Queued event with dag_id: `{dag_id}` and asset_id: `{asset_id}` was not found")
