"""`/ui/grid/*`: the rows, columns and squares of the grid."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from psycopg import sql

from leoflow.api.dag_graph import DagGraph, grid_nodes, merge_grid_nodes, subset
from leoflow.api.deps import ApiState, Conn, Connection, Pool, State, Viewer
from leoflow.api.encoding import NDJSON, NdjsonResponse
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Page, Paged
from leoflow.api.rows import Row, rows, value
from leoflow.api.ui.models import DagRunState, DagVersion, GridNode, GridRun
from leoflow.api.ui.summaries import task_instances
from leoflow.db import queries

router = APIRouter(prefix="/grid", tags=["Grid"])

ORDER = Ordering(
    {
        "id": "r.run_key",
        "run_after": "r.run_after",
        "logical_date": "r.logical_date",
        "start_date": "r.start_date",
        "end_date": "r.end_date",
    },
    default="id",
    unique="id",
)

Names = Annotated[list[str] | None, Query()]


def _filters(
    run_after_gte: datetime | None = None,
    run_after_gt: datetime | None = None,
    run_after_lte: datetime | None = None,
    run_after_lt: datetime | None = None,
    run_type: Names = None,
    state: Annotated[list[DagRunState] | None, Query()] = None,
    triggering_user: str | None = None,
    triggering_user_prefix: str | None = None,
) -> Where:
    """Collect the filters on runs."""
    where = Where()
    where.range("r.run_after", gte=run_after_gte, gt=run_after_gt, lte=run_after_lte, lt=run_after_lt)
    where.any_of("r.run_type::text", run_type)
    where.any_of("r.state::text", [item.value for item in state] if state else None)
    where.contains("r.triggering_user_name", triggering_user)
    where.starts_with("r.triggering_user_name", triggering_user_prefix)
    return where


Filters = Annotated[Where, Depends(_filters)]


async def _runs(conn: Connection, dag_id: str, where: Where, order_by: Sequence[str] | None, page: Page) -> list[Row]:
    """Read the runs that are the columns of the grid."""
    dag_key = await value(conn, queries.load("ui").dag_key, {"dag_id": dag_id})
    if dag_key is None:
        raise HTTPException(404, f"Dag with id {dag_id} was not found")
    where.add("r.dag_key = %s", dag_key)
    statement = sql.SQL("select r.* from leoflow_core.ui_dag_run r {} order by {} limit %s offset %s").format(
        where.sql(), ORDER.parse(order_by or ["-run_after"]).sql()
    )
    return await rows(conn, statement, [*where.parameters, page.limit, page.offset])


@router.get("/structure/{dag_id}", response_model_exclude_none=True)
async def get_structure(
    dag_id: str,
    conn: Conn,
    state: State,
    _: Viewer,
    paged: Paged,
    where: Filters,
    order_by: Names = None,
    include_upstream: bool = False,
    include_downstream: bool = False,
    depth: int | None = None,
    root: str | None = None,
) -> list[GridNode]:
    """Return tasks and groups of the current version and of those the listed runs ran; nulls are left out."""
    current = await value(conn, queries.load("ui").current_version, {"dag_id": dag_id})
    if current is None:
        raise HTTPException(404, f"Dag with id {dag_id} was not found")
    listed = await _runs(conn, dag_id, where, order_by, paged)
    versions = list(dict.fromkeys([current, *(run["version_key"] for run in listed)]))
    nodes: list[dict[str, Any]] = []
    for version in versions:
        graph = await _graph(conn, state, version, root, include_upstream, include_downstream, depth)
        merge_grid_nodes(nodes, grid_nodes(graph))
    return [GridNode.model_validate(node) for node in nodes]


async def _graph(
    conn: Connection,
    state: ApiState,
    version: int,
    root: str | None,
    upstream: bool,
    downstream: bool,
    depth: int | None,
) -> DagGraph:
    if root is None:
        return (await state.graphs.graphs(conn, [version]))[version]
    spec = await state.graphs.spec(conn, version)
    return DagGraph(subset(spec, root, upstream=upstream, downstream=downstream, depth=depth))


@router.get("/runs/{dag_id}", response_model_exclude_none=True)
async def get_runs(
    dag_id: str, conn: Conn, _: Viewer, paged: Paged, where: Filters, order_by: Names = None
) -> list[GridRun]:
    """Return the runs; null keys are left out."""
    return [_grid_run(run) for run in await _runs(conn, dag_id, where, order_by, paged)]


def _grid_run(run: Row) -> GridRun:
    version = DagVersion(
        id=run["version_id"],
        version_number=run["version_number"],
        dag_id=run["dag_id"],
        bundle_name=run["bundle_name"],
        bundle_version=None,
        created_at=run["version_created_at"],
        dag_display_name=run["dag_display_name"],
        bundle_url=None,
    )
    return GridRun.model_validate(run | {"dag_versions": [version], "duration": run["elapsed"]})


@router.get(
    "/ti_summaries/{dag_id}",
    response_class=NdjsonResponse,
    responses={200: {"content": {NDJSON: {"schema": {"type": "string"}}}}},
)
async def get_ti_summaries(dag_id: str, conn: Conn, state: State, _: Viewer, run_ids: Names = None) -> NdjsonResponse:
    """Stream one line per run; runs without task instances yield none."""
    found = await rows(conn, queries.load("ui").summarised_runs, {"dag_id": dag_id, "run_ids": run_ids or []})
    by_id = {run["run_id"]: run for run in found}
    runs = [by_id[run_id] for run_id in dict.fromkeys(run_ids or []) if run_id in by_id]
    graphs = await state.graphs.graphs(conn, [run["version_key"] for run in runs])
    return NdjsonResponse(_summaries(state.pool, graphs, dag_id, runs))


async def _summaries(
    pool: Pool, graphs: Mapping[int, DagGraph], dag_id: str, runs: list[Row]
) -> AsyncIterator[dict[str, Any]]:
    for run in runs:
        async with pool.connection() as conn:
            counted = await rows(conn, queries.load("ui").instance_summaries, {"run_key": run["run_key"]})
        if counted:
            instances = task_instances(graphs[run["version_key"]], counted)
            yield {"run_id": run["run_id"], "dag_id": dag_id, "task_instances": instances}
