"""Assets, their aliases and their events."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from leoflow.api.deps import Conn, Connection, Editor, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public import audit, store
from leoflow.api.public.asset_models import (
    AssetAliasCollectionResponse,
    AssetAliasResponse,
    AssetCollectionResponse,
    AssetEventCollectionResponse,
    AssetEventResponse,
    AssetResponse,
    CreateAssetEventsBody,
    Key,
    MaterializeAssetBody,
)
from leoflow.api.public.criteria import Bounds, Pattern, Small, moments, pattern
from leoflow.api.public.dag_run_models import DAGRunResponse
from leoflow.api.public.dag_runs import start_run
from leoflow.api.public.lookup import dag_or_404, run_or_404
from leoflow.api.public.masking import redact
from leoflow.db import queries
from leoflow.engine import create_asset_runs, wake_workers

SQL = queries.load("api_assets")
router = APIRouter()

ASSETS = "leoflow_core.api_assets a"
ASSET_ORDER = Ordering(
    {"id": "a.id", "name": "a.name", "uri": "a.uri", "created_at": "a.created_at", "updated_at": "a.updated_at"},
    default="id",
    unique="id",
)
ALIASES = '(select l.alias_key as id, l.name, l.asset_group as "group" from leoflow_core.asset_alias l) a'
ALIAS_ORDER = Ordering({"id": "a.id", "name": "a.name"}, default="id", unique="id")
EVENTS = "leoflow_core.api_asset_events e"
EVENT_ORDER = Ordering(
    {
        "timestamp": 'e."timestamp"',
        "source_task_id": "e.source_task_id",
        "source_dag_id": "e.source_dag_id",
        "source_run_id": "e.source_run_id",
        "source_map_index": "e.source_map_index",
        "id": "e.id",
    },
    default="timestamp",
    unique="id",
)
MENTIONED = (
    "exists (select from leoflow_core.dag d where d.dag_id = any(%s) and ("
    "exists (select from leoflow_core.schedule_asset s where s.dag_key = d.dag_key and s.asset_key = a.id)"
    " or exists (select from leoflow_core.task_asset t where t.dag_key = d.dag_key and t.asset_key = a.id)))"
)


@dataclass
class EventFilters:
    """Conditions on events, from the query string."""

    name: Annotated[Pattern, Depends(pattern("name"))]
    timestamp: Annotated[Bounds, Depends(moments("timestamp"))]
    asset_id: Small | None = None
    source_dag_id: str | None = None
    source_task_id: str | None = None
    source_run_id: str | None = None
    source_map_index: Small | None = None

    def where(self) -> Where:
        """Build the conditions."""
        where = Where()
        self.name.apply(where, "e.name")
        self.timestamp.apply(where, 'e."timestamp"')
        where.equals("e.asset_id", self.asset_id)
        where.equals("e.source_dag_id", self.source_dag_id)
        where.equals("e.source_task_id", self.source_task_id)
        where.equals("e.source_run_id", self.source_run_id)
        where.equals("e.source_map_index", self.source_map_index)
        return where


@router.get("/assets", response_model=AssetCollectionResponse, tags=["Asset"])
async def get_assets(
    conn: Conn,
    _: Viewer,
    page: Paged,
    name: Annotated[Pattern, Depends(pattern("name"))],
    uri: Annotated[Pattern, Depends(pattern("uri"))],
    dag_ids: Annotated[list[str] | None, Query()] = None,
    only_active: bool = True,
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """List assets: those that are active, or all."""
    where = Where()
    name.apply(where, "a.name")
    uri.apply(where, "a.uri")
    if only_active:
        where.add("a.is_active")
    if dag_ids is not None:
        where.add(MENTIONED, dag_ids[0].split(",") if len(dag_ids) == 1 else dag_ids)
    found, total = await store.listing(conn, ASSETS, where, ASSET_ORDER.parse(order_by), page)
    return {"assets": found, "total_entries": total}


@router.get("/assets/aliases", response_model=AssetAliasCollectionResponse, tags=["Asset"])
async def get_asset_aliases(
    conn: Conn,
    _: Viewer,
    page: Paged,
    name: Annotated[Pattern, Depends(pattern("name"))],
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """List aliases."""
    where = Where()
    name.apply(where, "a.name")
    found, total = await store.listing(conn, ALIASES, where, ALIAS_ORDER.parse(order_by), page)
    return {"asset_aliases": found, "total_entries": total}


@router.get("/assets/aliases/{asset_alias_id}", response_model=AssetAliasResponse, tags=["Asset"])
async def get_asset_alias(asset_alias_id: Key, conn: Conn, _: Viewer) -> Any:
    """Get an alias."""
    found = await store.row(conn, SQL.alias, {"alias_id": asset_alias_id})
    if found is None:
        raise HTTPException(404, f"The Asset Alias with ID: `{asset_alias_id}` was not found")
    return found


@router.get("/assets/events", response_model=AssetEventCollectionResponse, tags=["Asset"])
async def get_asset_events(
    conn: Conn,
    _: Viewer,
    page: Paged,
    filters: Annotated[EventFilters, Depends()],
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """List changes."""
    found, total = await store.listing(conn, EVENTS, filters.where(), EVENT_ORDER.parse(order_by), page)
    return {"asset_events": found, "total_entries": total}


@router.post("/assets/events", response_model=AssetEventResponse, tags=["Asset"])
async def create_asset_event(body: CreateAssetEventsBody, conn: Conn, user: Editor) -> Any:
    """Record a change, and make the runs it is sufficient for."""
    if await store.row(conn, SQL.asset, {"asset_id": body.asset_id}) is None:
        raise HTTPException(404, f"Asset with ID: `{body.asset_id}` was not found")
    extra = {**body.extra, "from_rest_api": True}
    async with conn.transaction():
        event_id = await store.value(
            conn,
            SQL.record_event,
            {"asset_id": body.asset_id, "extra": store.jsonb(extra), "partition_key": body.partition_key},
        )
        await audit.record(conn, user, "create_asset_event", extra={**redact(body.model_dump()), "method": "POST"})
    if (await create_asset_runs(conn)).created:
        await wake_workers(conn)
    return await store.row(conn, SQL.event, {"event_id": event_id})


@router.get("/assets/{asset_id}", response_model=AssetResponse, tags=["Asset"])
async def get_asset(asset_id: Key, conn: Conn, _: Viewer) -> Any:
    """Get an asset."""
    found = await store.row(conn, SQL.asset, {"asset_id": asset_id})
    if found is None:
        raise HTTPException(404, f"The Asset with ID: `{asset_id}` was not found")
    return found


@router.post("/assets/{asset_id}/materialize", response_model=DAGRunResponse, tags=["Asset"])
async def materialize_asset(
    asset_id: Key, conn: Conn, user: Editor, request: Request, body: MaterializeAssetBody | None = None
) -> Any:
    """Run the DAG that makes an asset."""
    dag = await _producer(conn, asset_id)
    return await start_run(
        conn,
        user,
        request,
        dag,
        body or MaterializeAssetBody(),
        run_type="asset_materialization",
        event="materialize_asset",
    )


async def _producer(conn: Connection, asset_id: int) -> store.Row:
    makers = [row["dag_id"] for row in await store.rows(conn, SQL.producers, {"asset_id": asset_id})]
    if not makers:
        raise HTTPException(404, f"No Dag materializes asset with ID: {asset_id}")
    if len(makers) > 1:
        raise HTTPException(409, f"More than one Dag materializes asset with ID: {asset_id}")
    dag = await dag_or_404(conn, makers[0])
    allowed = await store.value(conn, SQL.allowed_run_types, dag)
    if allowed is not None and "asset_materialization" not in allowed:
        raise HTTPException(400, f"Dag with dag_id: '{makers[0]}' does not allow asset materialization runs")
    return dag


@router.get(
    "/dags/{dag_id}/dagRuns/{dag_run_id}/upstreamAssetEvents",
    response_model=AssetEventCollectionResponse,
    tags=["DagRun"],
)
async def get_upstream_asset_events(dag_id: str, dag_run_id: str, conn: Conn, _: Viewer) -> Any:
    """List the changes that made a run."""
    run = await run_or_404(conn, dag_id, dag_run_id)
    found = await store.rows(conn, SQL.upstream_events, run)
    return {"asset_events": found, "total_entries": len(found)}
