"""`/ui/dags`: DAGs with their latest runs, and the newest run of one DAG."""

from typing import Annotated, Any, Literal, LiteralString

from fastapi import APIRouter, Depends, HTTPException, Query
from psycopg import sql

from leoflow.api import file_tokens
from leoflow.api.deps import ApiState, Conn, Connection, State, User, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public.hitl import HITLDetail
from leoflow.api.rows import Row, row, rows, value
from leoflow.api.ui.models import DagCollection, DagRunState, DagWithRuns, RunLight
from leoflow.db import queries

router = APIRouter(prefix="/dags", tags=["DAG"])

ORDER = Ordering(
    {
        "dag_id": "d.dag_id",
        "dag_display_name": "d.dag_display_name",
        "next_dagrun": "d.next_dagrun_logical_date",
        "last_run_state": "d.last_run_state",
        "last_run_start_date": "d.last_run_start_date",
        "state": "d.last_run_state",
        "start_date": "d.last_run_start_date",
    },
    default="dag_id",
    unique="dag_id",
)

PENDING: LiteralString = """(
    select count(*) > 0 from leoflow_core.api_hitl_details h
    where h.dag_key = d.dag_key and h.is_current and not h.response_received and h.state = 'deferred'
) = %s"""

Names = Annotated[list[str] | None, Query()]


def _where(
    tags: Names = None,
    tags_match_mode: Literal["any", "all"] | None = None,
    owners: Names = None,
    dag_ids: Names = None,
    dag_id_pattern: str | None = None,
    dag_id_prefix_pattern: str | None = None,
    dag_display_name_pattern: str | None = None,
    dag_display_name_prefix_pattern: str | None = None,
    exclude_stale: bool = True,
    paused: bool | None = None,
    has_import_errors: bool | None = None,
    last_dag_run_state: DagRunState | None = None,
    bundle_name: str | None = None,
    bundle_version: str | None = None,
    has_asset_schedule: bool | None = None,
    has_pending_actions: bool | None = None,
) -> Where:
    """Collect the filters of the list."""
    where = Where()
    if exclude_stale:
        where.add("not d.is_stale")
    if tags:
        where.add("d.tag_names @> %s" if tags_match_mode == "all" else "d.tag_names && %s", tags)
    if owners:
        where.add("d.owners && %s", owners)
    where.any_of("d.dag_id", dag_ids)
    where.contains("d.dag_id", dag_id_pattern)
    where.starts_with("d.dag_id", dag_id_prefix_pattern)
    where.contains("d.dag_display_name", dag_display_name_pattern)
    where.starts_with("d.dag_display_name", dag_display_name_prefix_pattern)
    where.equals("d.is_paused", paused)
    where.equals("d.has_import_errors", has_import_errors)
    where.equals("d.last_run_state::text", last_dag_run_state)
    where.equals("d.bundle_name", bundle_name)
    where.equals("d.bundle_version", bundle_version)
    where.equals("(d.schedule_type in ('assets', 'asset_or_time', 'partitioned_assets'))", has_asset_schedule)
    if has_pending_actions is not None:
        where.add(PENDING, has_pending_actions)
    return where


Filters = Annotated[Where, Depends(_where)]


@router.get("", response_model_exclude_none=True)
async def get_dags(
    conn: Conn,
    state: State,
    user: Viewer,
    paged: Paged,
    where: Filters,
    order_by: Names = None,
    is_favorite: bool | None = None,
    has_pending_actions: bool | None = None,
    dag_runs_limit: Annotated[int, Query(ge=0, le=1000)] = 10,
) -> DagCollection:
    """List DAGs with their latest runs; null keys are left out."""
    if is_favorite is not None:
        where.add(
            "exists (select from leoflow_core.favorite f where f.dag_key = d.dag_key and f.user_name = %s) = %s",
            user.name,
            is_favorite,
        )
    order = ORDER.parse(order_by)
    total = await value(
        conn, sql.SQL("select count(*) from leoflow_core.ui_dag d {}").format(where.sql()), where.parameters
    )
    statement = sql.SQL("select d.* from leoflow_core.ui_dag d {} order by {} limit %s offset %s")
    found = await rows(
        conn,
        statement.format(where.sql(), order.sql()),
        [*where.parameters, paged.limit, paged.offset],
    )
    pending = await _pending(conn, found) if has_pending_actions else {}
    return DagCollection(total_entries=total, dags=await _complete(conn, state, user, found, dag_runs_limit, pending))


async def _pending(conn: Connection, found: list[Row]) -> dict[int, list[Any]]:
    """What people are asked, by DAG; as in Airflow, only for who asks for DAGs with pending actions."""
    pending: dict[int, list[Any]] = {}
    for detail in await rows(conn, queries.load("api_hitl").pending, {"dag_keys": [dag["dag_key"] for dag in found]}):
        shown = HITLDetail.model_validate(detail).model_dump(mode="json", exclude_none=True)
        pending.setdefault(detail["dag_key"], []).append(shown)
    return pending


async def _complete(
    conn: Connection,
    state: ApiState,
    user: User,
    found: list[Row],
    runs_limit: int,
    pending: dict[int, list[Any]],
) -> list[DagWithRuns]:
    """Add runs, tags and stars to rows of the view."""
    named = queries.load("ui")
    keys = [dag["dag_key"] for dag in found]
    runs: dict[str, list[RunLight]] = {}
    for run in await rows(conn, named.recent_runs, {"dag_keys": keys, "limit": runs_limit}):
        runs.setdefault(run["dag_id"], []).append(RunLight.model_validate(run))
    starred = await rows(conn, named.favorites, {"user_name": user.name, "dag_keys": keys})
    stars = {star["dag_key"] for star in starred}
    secret = state.signer.secret
    return [
        DagWithRuns.model_validate(
            dag
            | {
                "tags": _tags(dag),
                "asset_expression": dag["schedule_expression"],
                "latest_dag_runs": runs.get(dag["dag_id"], []),
                "pending_actions": pending.get(dag["dag_key"], []),
                "is_favorite": dag["dag_key"] in stars,
                "file_token": file_tokens.make(secret, dag["bundle_name"], dag["relative_fileloc"]),
            }
        )
        for dag in found
    ]


def _tags(dag: Row) -> list[dict[str, str]]:
    names = {"dag_id": dag["dag_id"], "dag_display_name": dag["dag_display_name"]}
    return [{"name": tag} | names for tag in dag["tag_names"]]


@router.get("/{dag_id}/latest_run")
async def get_latest_run(dag_id: str, conn: Conn, _: Viewer) -> RunLight | None:
    """Return the newest run; null, not 404, when there is none."""
    if dag_id == "~":
        raise HTTPException(400, "`~` was supplied as dag_id, but querying multiple dags is not supported.")
    found = await row(conn, queries.load("ui").latest_run, {"dag_id": dag_id})
    return RunLight.model_validate(found) if found else None
