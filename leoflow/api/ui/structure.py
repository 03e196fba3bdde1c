"""`/ui/structure/structure_data`: the graph view of one version of a DAG."""

from fastapi import APIRouter, HTTPException

from leoflow.api.dag_dependencies import dag_dependencies
from leoflow.api.dag_graph import DagGraph, graph_edges, graph_nodes, subset
from leoflow.api.deps import Conn, Connection, State, Viewer
from leoflow.api.rows import row, value
from leoflow.api.ui.asset_graph import add_external
from leoflow.api.ui.models import Edge, Node, Structure
from leoflow.db import queries

router = APIRouter(prefix="/structure", tags=["Structure"])


@router.get("/structure_data")
async def get_structure_data(
    dag_id: str,
    conn: Conn,
    state: State,
    _: Viewer,
    version_number: int | None = None,
    include_upstream: bool = False,
    include_downstream: bool = False,
    depth: int | None = None,
    root: str | None = None,
    external_dependencies: bool = False,
) -> Structure:
    """Return nodes, groups with their joins, and arrows; if asked, with the assets and DAGs around."""
    version = await _version(conn, dag_id, version_number)
    if root is None:
        graph = (await state.graphs.graphs(conn, [version]))[version]
    else:
        spec = await state.graphs.spec(conn, version)
        graph = DagGraph(subset(spec, root, upstream=include_upstream, downstream=include_downstream, depth=depth))
    structure = Structure(
        nodes=[Node.model_validate(node) for node in graph_nodes(graph)],
        edges=[Edge.model_validate(edge) for edge in graph_edges(graph)],
    )
    if external_dependencies:
        schedule = await row(conn, queries.load("ui").schedule, {"dag_id": dag_id})
        expression = schedule["asset_expression"] if schedule else None
        add_external(structure, dag_id, await dag_dependencies(conn), expression)
    return structure


async def _version(conn: Connection, dag_id: str, version_number: int | None) -> int:
    named = queries.load("ui")
    if version_number is None:
        found = await value(conn, named.current_version, {"dag_id": dag_id})
        missing = f"Dag with id {dag_id} was not found"
    else:
        arguments = {"dag_id": dag_id, "version_number": version_number}
        found = await value(conn, named.version_by_number, arguments)
        missing = f"Dag with id {dag_id} and version number {version_number} was not found"
    if found is None:
        raise HTTPException(404, missing)
    return int(found)
