"""`/ui/dependencies`: how DAGs, assets, triggers and sensors hang together."""

from collections.abc import Mapping, Sequence
from typing import Literal

from fastapi import APIRouter, HTTPException

from leoflow.api.dag_dependencies import Dependency, dag_dependencies
from leoflow.api.deps import Conn, Connection, Viewer
from leoflow.api.rows import rows
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
    """Return the whole graph, or the connected part around a node; `data` traces the tasks around an asset."""
    if dependency_type == "data":
        return await _lineage(conn, _asset_id(node_id))
    graph = _graph(await dag_dependencies(conn))
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


def _asset_id(node_id: str | None) -> int:
    if node_id is None or not node_id.startswith("asset:"):
        raise HTTPException(400, "Data dependencies require an asset node_id (e.g., 'asset:123')")
    number = node_id.removeprefix("asset:")
    if not (number.isascii() and number.isdigit()):
        raise HTTPException(400, f"Invalid asset node_id: {node_id}")
    return int(number)


def _graph(dependencies: Mapping[str, Sequence[Dependency]]) -> Dependencies:
    """Draw the dependencies of all DAGs."""
    nodes: dict[str, DependencyNode] = {}
    edges: set[tuple[str, str]] = set()
    for dag_id, found in dependencies.items():
        nodes.setdefault(f"dag:{dag_id}", DependencyNode(id=f"dag:{dag_id}", label=dag_id, type="dag"))
        for each in found:
            nodes.setdefault(each.node_id, DependencyNode(id=each.node_id, label=each.label, type=each.kind))
            if not each.is_start:
                edges.add((_end(each.source), each.node_id))
            if not each.is_end:
                edges.add((each.node_id, _end(each.target)))
    for end in sorted(end for edge in edges for end in edge):
        if end.startswith("dag:"):  # Airflow draws an arrow to nowhere for a DAG without dependencies of its own
            nodes.setdefault(end, DependencyNode(id=end, label=end.removeprefix("dag:"), type="dag"))
    drawn = [DependencyEdge(source_id=source, target_id=target) for source, target in sorted(edges)]
    return Dependencies(edges=drawn, nodes=list(nodes.values()))


def _end(name: str) -> str:
    return name if ":" in name else f"dag:{name}"


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


async def _lineage(conn: Connection, asset_id: int) -> Dependencies:
    """Trace the tasks that make and read an asset, what else they make and read, and so on."""
    named = queries.load("ui")
    names = {row["id"]: row["name"] for row in await rows(conn, named.asset_names)}
    if asset_id not in names:
        raise HTTPException(404, f"Asset with id {asset_id} was not found")
    tasks: dict[int, list[tuple[str, str, str]]] = {}
    assets: dict[tuple[str, str], list[int]] = {}
    for row in await rows(conn, named.task_assets):
        tasks.setdefault(row["asset_id"], []).append((row["direction"], row["dag_id"], row["task_id"]))
        assets.setdefault((row["dag_id"], row["task_id"]), []).append(row["asset_id"])
    nodes: dict[str, DependencyNode] = {}
    edges: list[DependencyEdge] = []
    seen, waiting = {asset_id}, [asset_id]
    while waiting:
        current = waiting.pop(0)
        node = f"asset:{current}"
        nodes[node] = DependencyNode(id=node, label=names[current], type="asset")
        for direction, dag_id, task_id in sorted(tasks.get(current, []), reverse=True):
            task = f"task:{dag_id}__SEPARATOR__{task_id}"
            nodes.setdefault(task, DependencyNode(id=task, label=f"{dag_id}.{task_id}", type="task"))
            source, target = (task, node) if direction == "outlet" else (node, task)
            edges.append(DependencyEdge(source_id=source, target_id=target))
            fresh = [other for other in assets[dag_id, task_id] if other not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
    return Dependencies(edges=edges, nodes=list(nodes.values()))
