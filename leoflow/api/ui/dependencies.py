"""`/ui/dependencies`: how DAGs, assets, triggers and sensors hang together."""

from typing import Literal

from fastapi import APIRouter, HTTPException

from leoflow.api.deps import Conn, Viewer
from leoflow.api.rows import Row, rows
from leoflow.api.ui.models import Dependencies, DependencyEdge, DependencyNode
from leoflow.db import queries

router = APIRouter(tags=["Dependencies"])


@router.get("/dependencies")
async def get_dependencies(
    conn: Conn,
    _: Viewer,
    node_id: str | None = None,
    dependency_type: Literal["scheduling", "data"] = "scheduling",
) -> Dependencies:
    """Return the whole graph, or the connected part around a node."""
    if dependency_type == "data":
        raise _no_asset(node_id)
    graph = _graph(await rows(conn, queries.load("ui").triggering_tasks))
    if node_id is None:
        return graph
    part = _component(graph, node_id)
    if part is None:
        raise HTTPException(
            404,
            f"Unique connected component not found, got [] for connected components of node {node_id},"
            " expected only 1 connected component.",
        )
    return part


def _no_asset(node_id: str | None) -> HTTPException:
    if node_id is None or not node_id.startswith("asset:"):
        return HTTPException(400, "Data dependencies require an asset node_id (e.g., 'asset:123')")
    if not node_id.removeprefix("asset:").isdigit():
        return HTTPException(400, f"Invalid asset node_id: {node_id}")
    return HTTPException(404, f"Asset with id {node_id.removeprefix('asset:')} was not found")


def _graph(triggers: list[Row]) -> Dependencies:
    """Draw `dag → trigger → dag` for every task that triggers another DAG."""
    nodes: dict[str, DependencyNode] = {}
    edges: list[DependencyEdge] = []
    for found in triggers:
        source, target = f"dag:{found['dag_id']}", f"dag:{found['target']}"
        trigger = f"trigger:{found['dag_id']}:{found['target']}:{found['task_id']}"
        nodes[source] = DependencyNode(id=source, label=found["dag_id"], type="dag")
        nodes[target] = DependencyNode(id=target, label=found["target"], type="dag")
        nodes[trigger] = DependencyNode(id=trigger, label=found["task_id"], type="trigger")
        edges.append(DependencyEdge(source_id=source, target_id=trigger))
        edges.append(DependencyEdge(source_id=trigger, target_id=target))
    edges.sort(key=lambda edge: (edge.source_id, edge.target_id))
    return Dependencies(edges=edges, nodes=list(nodes.values()))


def _component(graph: Dependencies, node_id: str) -> Dependencies | None:
    neighbours: dict[str, set[str]] = {}
    for edge in graph.edges:
        neighbours.setdefault(edge.source_id, set()).add(edge.target_id)
        neighbours.setdefault(edge.target_id, set()).add(edge.source_id)
    if node_id not in neighbours:
        return None
    found, frontier = {node_id}, [node_id]
    while frontier:
        fresh = neighbours[frontier.pop()] - found
        found |= fresh
        frontier.extend(fresh)
    return Dependencies(
        edges=[edge for edge in graph.edges if edge.source_id in found],
        nodes=[node for node in graph.nodes if node.id in found],
    )
