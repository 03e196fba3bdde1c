"""DAGs: list, get, details, pause, favourites, delete."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query
from psycopg import sql
from pydantic import BaseModel

from leoflow.api import file_tokens
from leoflow.api.deps import Conn, Connection, CurrentUser, Editor, State, User, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public import store
from leoflow.api.public.criteria import Bounds, Pattern, moments, pattern, states
from leoflow.api.public.lookup import dag_or_404, no_dag
from leoflow.api.public.shapes import DagRunState, DagRunType, DagTagResponse, DagVersionResponse, StrictBody
from leoflow.db import queries
from leoflow.engine.runs import set_paused
from leoflow.engine.workers import wake_workers

SQL = queries.load("api_dags")
router = APIRouter(prefix="/dags", tags=["DAG"])

ORDER = Ordering(
    {
        "dag_id": "d.dag_id",
        "dag_display_name": "d.dag_display_name",
        "next_dagrun": "d.next_dagrun_run_after",
        "last_run_state": "leoflow_core.api_last_run_state(d.dag_key)",
        "last_run_start_date": "leoflow_core.api_last_run_start_date(d.dag_key)",
    },
    default="dag_id",
    unique="dag_id",
)


class DAGResponse(BaseModel):
    """A DAG."""

    dag_id: str
    dag_display_name: str
    is_paused: bool
    is_stale: bool
    last_parsed_time: datetime | None
    last_parse_duration: float | None
    last_expired: datetime | None
    bundle_name: str | None
    bundle_version: str | None
    relative_fileloc: str | None
    fileloc: str
    description: str | None
    timetable_summary: str | None
    timetable_description: str | None
    timetable_partitioned: bool
    tags: list[DagTagResponse]
    max_active_tasks: int
    max_active_runs: int | None
    max_consecutive_failed_dag_runs: int
    has_task_concurrency_limits: bool
    has_import_errors: bool
    next_dagrun_logical_date: datetime | None
    next_dagrun_data_interval_start: datetime | None
    next_dagrun_data_interval_end: datetime | None
    next_dagrun_run_after: datetime | None
    allowed_run_types: list[DagRunType] | None
    owners: list[str]
    file_token: str
    # Not in 3.2.2; airflowctl 0.1.5, which was made for the next release, does not parse answers without them.
    timetable_periodic: bool
    is_backfillable: bool


class DAGDetailsResponse(DAGResponse):
    """A DAG with everything its author said."""

    catchup: bool
    dag_run_timeout: timedelta | None
    asset_expression: dict[str, Any] | None
    doc_md: str | None
    start_date: datetime | None
    end_date: datetime | None
    is_paused_upon_creation: bool | None
    params: dict[str, Any] | None
    render_template_as_native_obj: bool
    template_search_path: list[str] | None
    timezone: str | None
    last_parsed: datetime | None
    default_args: dict[str, Any] | None
    owner_links: dict[str, str] | None
    is_favorite: bool
    active_runs_count: int
    concurrency: int
    latest_dag_version: DagVersionResponse | None


class DAGCollectionResponse(BaseModel):
    """DAGs."""

    dags: list[DAGResponse]
    total_entries: int


class DAGPatchBody(StrictBody):
    """The one thing of a DAG that is not code."""

    is_paused: bool


@dataclass
class DagFilters:
    """The filters that listing and bulk patching have in common."""

    ids: Annotated[Pattern, Depends(pattern("dag_id"))]
    tags: Annotated[list[str] | None, Query()] = None
    tags_match_mode: Literal["any", "all"] | None = None
    owners: Annotated[list[str] | None, Query()] = None
    exclude_stale: bool = True
    paused: bool | None = None

    def where(self) -> Where:
        """Build the conditions on `leoflow_core.api_dags d`."""
        where = Where()
        self.ids.apply(where, "d.dag_id")
        if self.tags:
            where.add("d.tag_names @> %s" if self.tags_match_mode == "all" else "d.tag_names && %s", self.tags)
        if self.owners:
            where.add("d.owners && %s", self.owners)
        if self.exclude_stale:
            where.add("not d.is_stale")
        where.equals("d.is_paused", self.paused)
        return where


_DEPENDS_ON_ASSET = (
    "exists (select from leoflow_core.schedule_asset s join leoflow_core.asset a on a.asset_key = s.asset_key"
    " where s.dag_key = d.dag_key and (a.name ilike %s or a.uri ilike %s))"
)


@dataclass
class MoreDagFilters:
    """The filters only listing has."""

    names: Annotated[Pattern, Depends(pattern("dag_display_name"))]
    started: Annotated[Bounds, Depends(moments("dag_run_start_date"))]
    ended: Annotated[Bounds, Depends(moments("dag_run_end_date"))]
    has_import_errors: bool | None = None
    last_dag_run_state: DagRunState | None = None
    bundle_name: str | None = None
    bundle_version: str | None = None
    has_asset_schedule: bool | None = None
    asset_dependency: str | None = None
    dag_run_state: Annotated[list[str] | None, Query()] = None
    is_favorite: bool | None = None
    timetable_type: Annotated[list[str] | None, Query()] = None

    def apply(self, where: Where, user: User) -> None:
        """Add the conditions on `leoflow_core.api_dags d`."""
        self.names.apply(where, "d.dag_display_name")
        where.equals("d.has_import_errors", self.has_import_errors)
        where.equals("leoflow_core.api_last_run_state(d.dag_key)", self.last_dag_run_state)
        where.equals("d.bundle_name", self.bundle_name)
        where.equals("d.bundle_version", self.bundle_version)
        where.equals("d.has_asset_schedule", self.has_asset_schedule)
        if self.asset_dependency:
            pattern_ = f"%{self.asset_dependency}%"
            where.add(_DEPENDS_ON_ASSET, pattern_, pattern_)
        where.any_of("d.schedule ->> 'type'", self.timetable_type)
        if self.is_favorite is not None:
            where.add("leoflow_core.api_is_favorite(d.dag_key, %s) = %s", user.name, self.is_favorite)
        self._apply_runs(where)

    def _apply_runs(self, where: Where) -> None:
        runs = Where()
        runs.any_of("r.state::text", states(self.dag_run_state, DagRunState)[0])
        self.started.apply(runs, "r.start_date")
        self.ended.apply(runs, "r.end_date")
        if runs.parameters:
            runs.add("r.dag_key = d.dag_key")
            where.add(_exists(runs), *runs.parameters)


def _exists(runs: Where) -> sql.Composable:
    return sql.SQL("exists (select from leoflow_core.dag_run r {})").format(runs.sql())


@router.get("", response_model=DAGCollectionResponse)
async def get_dags(
    conn: Conn,
    user: Viewer,
    state: State,
    page: Paged,
    filters: Annotated[DagFilters, Depends()],
    more: Annotated[MoreDagFilters, Depends()],
    order_by: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """List DAGs."""
    where = filters.where()
    more.apply(where, user)
    found, total = await store.listing(conn, "leoflow_core.api_dags d", where, ORDER.parse(order_by), page)
    return {"dags": [shown(dag, state) for dag in found], "total_entries": total}


@router.patch("", response_model=DAGCollectionResponse)
async def patch_dags(
    body: DAGPatchBody,
    conn: Conn,
    user: Editor,
    state: State,
    page: Paged,
    filters: Annotated[DagFilters, Depends()],
    update_mask: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """Pause or unpause all DAGs that match; an empty filter matches all."""
    _check_mask(update_mask)
    async with conn.transaction():
        found, total = await store.listing(conn, "leoflow_core.api_dags d", filters.where(), ORDER.parse(None), page)
        for dag in found:
            await set_paused(conn, dag["dag_id"], body.is_paused, user=user.name)
    await wake_workers(conn)
    changed = [{**shown(dag, state), "is_paused": body.is_paused} for dag in found]
    return {"dags": changed, "total_entries": total}


@router.get("/{dag_id}", response_model=DAGResponse)
async def get_dag(dag_id: str, conn: Conn, _: Viewer, state: State) -> Any:
    """Get a DAG."""
    return shown(await dag_or_404(conn, dag_id), state)


@router.get("/{dag_id}/details", response_model=DAGDetailsResponse)
async def get_dag_details(dag_id: str, conn: Conn, user: Viewer, state: State) -> Any:
    """Get a DAG with everything its author said."""
    details = await store.row(conn, SQL.details, {"dag_id": dag_id, "user_name": user.name})
    if details is None:
        raise no_dag(dag_id)
    return {**shown(details, state), "params": {name: _param(spec) for name, spec in details["params"].items()}}


@router.patch("/{dag_id}", response_model=DAGResponse)
async def patch_dag(
    dag_id: str,
    body: DAGPatchBody,
    conn: Conn,
    user: Editor,
    state: State,
    update_mask: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """Pause or unpause a DAG."""
    _check_mask(update_mask)
    await dag_or_404(conn, dag_id)
    await set_paused(conn, dag_id, body.is_paused, user=user.name)
    await wake_workers(conn)
    return shown(await dag_or_404(conn, dag_id), state)


@router.delete("/{dag_id}")
async def delete_dag(dag_id: str, conn: Conn, user: Editor) -> None:
    """Delete a DAG with its runs; it comes back when its file is registered again."""
    await dag_or_404(conn, dag_id)
    await store.execute(conn, SQL.delete, {"dag_id": dag_id, "user": user.name})


@router.post("/{dag_id}/favorite", status_code=204)
async def favorite_dag(dag_id: str, conn: Conn, user: CurrentUser) -> None:
    """Mark a DAG as a favourite of the user."""
    await _dag_exists(conn, dag_id)
    await store.execute(conn, SQL.favorite, {"dag_id": dag_id, "user_name": user.name})


@router.post("/{dag_id}/unfavorite", status_code=204)
async def unfavorite_dag(dag_id: str, conn: Conn, user: CurrentUser) -> None:
    """Take the mark away."""
    await _dag_exists(conn, dag_id)
    if not await store.execute(conn, SQL.unfavorite, {"dag_id": dag_id, "user_name": user.name}):
        raise HTTPException(409, "Dag is not marked as favorite")


def shown(dag: store.Row, state: State) -> store.Row:
    """Add what only this process can: the token that names the DAG's file."""
    token = file_tokens.make(state.signer.secret, dag["bundle_name"], dag["relative_fileloc"])
    return {**dag, "file_token": token}


def _param(spec: dict[str, Any]) -> dict[str, Any]:
    """A param as the trigger form reads it."""
    return {
        "value": spec.get("value"),
        "schema": spec.get("schema") or {},
        "description": spec.get("description"),
        "source": None,
    }


def _check_mask(update_mask: list[str] | None) -> None:
    if update_mask and update_mask != ["is_paused"]:
        raise HTTPException(400, "Only `is_paused` field can be updated through the REST API")


async def _dag_exists(conn: Connection, dag_id: str) -> None:
    if await store.row(conn, SQL.exists, {"dag_id": dag_id}) is None:
        raise HTTPException(404, f"Dag with id '{dag_id}' not found")
