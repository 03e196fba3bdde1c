"""The assets around the graph view of a DAG: those its schedule waits for before it, those its tasks make after it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from leoflow.api.dag_dependencies import Dependency
from leoflow.api.ui.models import Edge, Node, Structure

Json = Mapping[str, Any]
_GATES = {"any": "or-gate", "all": "and-gate"}


def add_external(
    structure: Structure, dag_id: str, dependencies: Mapping[str, Sequence[Dependency]], expression: Json | None
) -> None:
    """Add the nodes and arrows to a graph.

    Args:
        structure: the graph of the DAG; without tasks nothing is added.
        dag_id: whose graph.
        dependencies: those of all DAGs.
        expression: the asset condition of the schedule, as the API shows it.
    """
    if not structure.nodes:
        return
    entry, last = structure.nodes[0].id, structure.nodes[-1].id
    nodes: dict[str, Node] = {}
    starts: list[Edge] = []
    ends: dict[tuple[str, str], Edge] = {}
    for owner, found in dependencies.items():
        for each in found:
            if dag_id not in (owner, each.target) or (each.kind.startswith("asset") and not each.is_end):
                continue  # what the schedule waits for comes from the expression
            nodes.setdefault(each.node_id, Node(id=each.node_id, label=each.label, type=each.kind))
            if each.is_start or each.target == dag_id:
                starts.append(Edge(source_id=each.node_id, target_id=entry))
            else:
                source = each.task_id or last
                ends.setdefault((source, each.node_id), Edge(source_id=source, target_id=each.node_id))
    structure.nodes.extend(nodes.values())
    if expression is not None:
        _Conditions(structure).add(expression, entry)
    structure.edges.extend([*starts, *ends.values()])


class _Conditions:
    """Draws nested conditions as gates in front of the DAG."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._used: set[str] = set()

    def add(self, expression: Json, target: str, level: int = 0) -> None:
        """Draw a condition that leads to a node. A lone asset is a condition of one."""
        key = next(iter(expression))
        if key not in _GATES:
            key, expression = "all", {"all": [expression]}
        gate = self._unused(f"{_GATES[key]}-{level}")
        self._structure.edges.append(Edge(source_id=gate, target_id=target, is_source_asset=level == 0))
        self._structure.nodes.append(
            Node(id=gate, label=gate, type="asset-condition", asset_condition_type=_GATES[key])
        )
        nested = []
        for each in expression[key]:
            if next(iter(each)) in _GATES:
                nested.append(each)
                continue
            for node in _leaf(each):
                self._structure.edges.append(Edge(source_id=node.id, target_id=gate))
                if node.id not in self._used:
                    self._used.add(node.id)
                    self._structure.nodes.append(node)
        for each in nested:
            self.add(each, gate, level + 1)

    def _unused(self, name: str) -> str:
        found, count = name, 1
        while found in self._used:
            count += 1
            found = f"{name}-{count}"
        self._used.add(found)
        return found


def _leaf(expression: Json) -> Iterator[Node]:
    [(key, value)] = expression.items()
    if key == "asset":
        yield Node(id=str(value["id"]), label=value["name"], type="asset")
    elif key == "alias":
        yield Node(id=value["name"], label=value["name"], type="asset-alias")
    elif "name" in value:
        yield Node(id=value["name"], label=value["name"], type="asset-name-ref")
    else:
        yield Node(id=value["uri"], label=value["uri"], type="asset-uri-ref")
