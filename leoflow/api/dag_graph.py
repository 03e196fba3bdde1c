"""The shape of a DAG as the UI draws it, computed from its spec: nodes, groups, joins, edges, order.

Rules read off Airflow 3.2.2's answers: siblings are in topological order; a group with neighbours outside gets a
join node on that side, and every edge of the group on that side goes through the join.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Node = dict[str, Any]
Json = Mapping[str, Any]
Edge = tuple[str, str]

_DIGITS = re.compile(r"(\d+)")


def natural_key(name: str) -> list[Any]:
    """Sort `trial__2` before `trial__10`."""
    return [int(part) if index % 2 else part for index, part in enumerate(_DIGITS.split(name))]


class DagGraph:
    """The tasks and groups of one version of a DAG."""

    def __init__(self, spec: Json) -> None:
        self.tasks: dict[str, Json] = {task["task_id"]: task for task in spec["tasks"]}
        self.groups: dict[str, Json] = {group["group_id"]: group for group in spec.get("task_groups", [])}
        self.labels: dict[Edge, str] = {(e["from"], e["to"]): e["label"] for e in spec.get("edges", [])}
        self._children = self._arrange()

    def children(self, group_id: str | None) -> list[str]:
        """Return the tasks and groups directly inside a group (None: the DAG), in topological order."""
        return self._children.get(group_id, [])

    def parent(self, node_id: str) -> str | None:
        """Return the group a task or group is in."""
        if node_id in self.tasks:
            return self.tasks[node_id].get("group_id")
        return self.groups[node_id].get("parent_group_id")

    def is_mapped(self, node_id: str) -> bool:
        """Whether a task or group, or a group around it, is expanded at run time."""
        if node_id in self.tasks:
            task = self.tasks[node_id]
            return bool(task.get("mapping")) or self._in_mapped_group(task.get("group_id"))
        return bool(self.groups[node_id].get("is_mapped"))

    def label(self, node_id: str) -> str:
        """Return the short name of a node: its display name, or its id without the group's prefix."""
        if node_id in self.groups:
            return str(self.groups[node_id].get("label") or node_id)
        task = self.tasks[node_id]
        display = str(task.get("task_display_name") or node_id)
        group = self.groups.get(task.get("group_id") or "")
        if display == node_id and group is not None and node_id.startswith(f"{group['group_id']}."):
            return node_id[len(group["group_id"]) + 1 :]
        return display

    def tasks_in(self, group_id: str) -> list[str]:
        """Return all tasks inside a group, at any depth."""
        found: list[str] = []
        for child in self.children(group_id):
            found.extend(self.tasks_in(child) if child in self.groups else [child])
        return found

    def _in_mapped_group(self, group_id: str | None) -> bool:
        while group_id is not None:
            if self.groups[group_id].get("is_mapped"):
                return True
            group_id = self.groups[group_id].get("parent_group_id")
        return False

    def _path(self, node_id: str) -> list[str]:
        """Return the node and the groups around it, innermost first."""
        path, group = [node_id], self.parent(node_id)
        while group is not None:
            path.append(group)
            group = self.groups[group].get("parent_group_id")
        return path

    def _arrange(self) -> dict[str | None, list[str]]:
        children: dict[str | None, list[str]] = {}
        for node_id in [*self.groups, *self.tasks]:
            children.setdefault(self.parent(node_id), []).append(node_id)
        upstream = self._sibling_upstream()
        return {group: _topological(nodes, upstream) for group, nodes in children.items()}

    def _sibling_upstream(self) -> dict[str, set[str]]:
        """For each node, the siblings that must come before it."""
        upstream: dict[str, set[str]] = {}
        for source, target in self._all_dependencies():
            sources, targets = self._path(source), self._path(target)
            while len(sources) > 1 and len(targets) > 1 and sources[-1] == targets[-1]:
                sources.pop()
                targets.pop()
            if sources[-1] != targets[-1]:
                upstream.setdefault(targets[-1], set()).add(sources[-1])
        return upstream

    def _all_dependencies(self) -> Iterator[Edge]:
        for task_id, task in self.tasks.items():
            for source in task["depends_on"]:
                yield source, task_id
        for group_id, group in self.groups.items():
            for source in [*group.get("upstream_group_ids", []), *group.get("upstream_task_ids", [])]:
                yield source, group_id


def _topological(nodes: list[str], upstream: Mapping[str, set[str]]) -> list[str]:
    """Order siblings as repeated passes over the naturally sorted names would, each taking what is free."""
    rank = {node: position for position, node in enumerate(sorted(nodes, key=natural_key))}
    passes: dict[str, int] = {}
    waiting = {node: {u for u in upstream.get(node, ()) if u in rank} for node in nodes}
    downstream: dict[str, list[str]] = {}
    for node, sources in waiting.items():
        for source in sources:
            downstream.setdefault(source, []).append(node)
    free = [node for node, sources in waiting.items() if not sources]
    passes.update(dict.fromkeys(free, 0))
    while free:
        node = free.pop()
        for follower in downstream.get(node, ()):
            later = passes[node] + (rank[node] > rank[follower])
            passes[follower] = max(passes.get(follower, 0), later)
            waiting[follower].discard(node)
            if not waiting[follower]:
                free.append(follower)
    return sorted(nodes, key=lambda node: (passes.get(node, len(nodes)), rank[node]))


def grid_nodes(graph: DagGraph, group_id: str | None = None) -> list[Node]:
    """Return the rows of the grid; keys without a value are left out."""
    return [_grid_node(graph, node) for node in graph.children(group_id)]


def _grid_node(graph: DagGraph, node_id: str) -> Node:
    node: Node = {"id": node_id, "label": graph.label(node_id)}
    if node_id in graph.groups:
        node["children"] = grid_nodes(graph, node_id)
    if graph.is_mapped(node_id):
        node["is_mapped"] = True
    if kind := setup_teardown_type(graph, node_id):
        node["setup_teardown_type"] = kind
    return node


def merge_grid_nodes(current: list[Node], older: Iterable[Node]) -> None:
    """Add the nodes that only an older version has; the latest version's shape stays."""
    known = {node["id"]: node for node in current}
    for node in older:
        if node["id"] not in known:
            current.append(node)
        elif "children" in known[node["id"]]:
            merge_grid_nodes(known[node["id"]]["children"], node.get("children", []))


def setup_teardown_type(graph: DagGraph, node_id: str) -> str | None:
    """Return `setup`, `teardown`, or None for an ordinary task or a group."""
    task = graph.tasks.get(node_id, {})
    return "setup" if task.get("is_setup") else "teardown" if task.get("is_teardown") else None


def graph_nodes(graph: DagGraph, group_id: str | None = None) -> list[Node]:
    """Return the nodes of the graph view, groups with their children and joins."""
    nodes = [_graph_node(graph, node) for node in graph.children(group_id)]
    if group_id is not None:
        group = graph.groups[group_id]
        nodes.extend(_join(f"{group_id}.{side}_join_id") for side in joined_sides(group))
    return nodes


def joined_sides(group: Json) -> list[str]:
    """Return on which sides a group has a join."""
    return [side for side in ("upstream", "downstream") if any(_neighbours(group, side))]


def _neighbours(group: Json, side: str) -> tuple[list[str], list[str]]:
    return list(group.get(f"{side}_group_ids", [])), list(group.get(f"{side}_task_ids", []))


def _graph_node(graph: DagGraph, node_id: str) -> Node:
    group = graph.groups.get(node_id)
    task = graph.tasks.get(node_id, {})
    mapped = graph.is_mapped(node_id)
    return _node(
        node_id,
        graph.label(node_id),
        "task",
        children=graph_nodes(graph, node_id) if group is not None else None,
        is_mapped=mapped if group is not None else mapped or None,
        tooltip=group.get("tooltip", "") if group is not None else None,
        setup_teardown_type=setup_teardown_type(graph, node_id),
        operator=task.get("operator_name"),
    )


def _join(node_id: str) -> Node:
    return _node(node_id, "", "join")


def _node(node_id: str, label: str, node_type: str, **values: Any) -> Node:
    node: Node = {
        "id": node_id,
        "label": label,
        "type": node_type,
        "children": None,
        "is_mapped": None,
        "tooltip": None,
        "setup_teardown_type": None,
        "operator": None,
        "asset_condition_type": None,
    }
    return node | values


def graph_edges(graph: DagGraph) -> list[Node]:
    """Return the arrows of the graph view, sorted; those of groups go through joins."""
    plain = {(source, target) for target, task in graph.tasks.items() for source in task["depends_on"]}
    joins = _JoinedEdges(graph)
    for group_id in graph.groups:
        joins.add_group(group_id)
    return [_edge(graph, edge) for edge in sorted((plain | joins.drawn) - joins.hidden)]


class _JoinedEdges:
    """The arrows that run through joins, and the arrows between tasks that they stand for."""

    def __init__(self, graph: DagGraph) -> None:
        self._graph = graph
        self.drawn: set[Edge] = set()
        self.hidden: set[Edge] = set()

    def add_group(self, group_id: str) -> None:
        """Draw the arrows of one group to what comes after it, and from single tasks before it."""
        group = self._graph.groups[group_id]
        groups, tasks = _neighbours(group, "downstream")
        for other in groups:
            self._group_to_group(group_id, other)
        for task in tasks:
            self._out(group_id)
            self.drawn.add((f"{group_id}.downstream_join_id", task))
            self.hidden.update((leaf, task) for leaf in self._leaves(group_id))
        for task in _neighbours(group, "upstream")[1]:
            self._in(group_id)
            self.drawn.add((task, f"{group_id}.upstream_join_id"))
            self.hidden.update((task, root) for root in self._roots(group_id))

    def _group_to_group(self, source: str, target: str) -> None:
        self._out(source)
        self._in(target)
        self.drawn.add((f"{source}.downstream_join_id", f"{target}.upstream_join_id"))
        roots = self._roots(target)
        for leaf in self._leaves(source):
            self.hidden.add((leaf, f"{target}.upstream_join_id"))
            self.hidden.update((leaf, root) for root in roots)
        self.hidden.update((f"{source}.downstream_join_id", root) for root in roots)

    def _out(self, group_id: str) -> None:
        self.drawn.update((leaf, f"{group_id}.downstream_join_id") for leaf in self._leaves(group_id))

    def _in(self, group_id: str) -> None:
        self.drawn.update((f"{group_id}.upstream_join_id", root) for root in self._roots(group_id))

    def _roots(self, group_id: str) -> list[str]:
        inside = set(self._graph.tasks_in(group_id))
        return [task for task in inside if not inside.intersection(self._graph.tasks[task]["depends_on"])]

    def _leaves(self, group_id: str) -> list[str]:
        inside = set(self._graph.tasks_in(group_id))
        followed = {source for task in inside for source in self._graph.tasks[task]["depends_on"]}
        return [task for task in inside - followed if not self._graph.tasks[task].get("is_teardown")]


def _edge(graph: DagGraph, edge: Edge) -> Node:
    source, target = edge
    pair = (setup_teardown_type(graph, source), setup_teardown_type(graph, target))
    return {
        "source_id": source,
        "target_id": target,
        "is_setup_teardown": True if pair == ("setup", "teardown") else None,
        "label": graph.labels.get(edge),
        "is_source_asset": None,
    }


def subset(spec: Json, root: str, *, upstream: bool, downstream: bool, depth: int | None) -> dict[str, Any]:
    """Return the spec reduced to one task and, when asked, what is up to `depth` steps around it."""
    tasks = {task["task_id"]: task for task in spec["tasks"]}
    if root not in tasks:
        return {**spec, "tasks": [], "task_groups": [], "edges": []}
    kept = {root}
    if upstream:
        kept |= _reach(root, lambda task: tasks[task]["depends_on"], depth)
    if downstream:
        followers: dict[str, list[str]] = {}
        for task_id, task in tasks.items():
            for source in task["depends_on"]:
                followers.setdefault(source, []).append(task_id)
        kept |= _reach(root, lambda task: followers.get(task, []), depth)
    return _keep(spec, kept)


def _reach(start: str, step: Callable[[str], Iterable[str]], depth: int | None) -> set[str]:
    found, frontier = {start}, [start]
    while frontier and (depth is None or depth > 0):
        frontier = [node for task in frontier for node in step(task) if node not in found]
        found.update(frontier)
        depth = None if depth is None else depth - 1
    return found


def _keep(spec: Json, kept: set[str]) -> dict[str, Any]:
    tasks = [
        {**task, "depends_on": [source for source in task["depends_on"] if source in kept]}
        for task in spec["tasks"]
        if task["task_id"] in kept
    ]
    groups = {group["group_id"]: group for group in spec.get("task_groups", [])}
    used: set[str] = set()
    for task in tasks:
        group = task.get("group_id")
        while group is not None and group not in used:
            used.add(group)
            group = groups[group].get("parent_group_id")
    around = kept | used
    return {
        **spec,
        "tasks": tasks,
        "task_groups": [_trim(group, around) for group_id, group in groups.items() if group_id in used],
    }


def _trim(group: Json, kept: set[str]) -> dict[str, Any]:
    fields = [f"{side}_{kind}_ids" for side in ("upstream", "downstream") for kind in ("group", "task")]
    return {**group, **{field: [n for n in group.get(field, []) if n in kept] for field in fields}}
