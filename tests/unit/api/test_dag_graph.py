"""The shapes the UI draws."""

from collections import Counter
from typing import Any

import pytest

from leoflow.api.dag_graph import DagGraph, graph_edges, graph_nodes, grid_nodes, merge_grid_nodes, subset
from leoflow.api.ui.summaries import Summary
from tests.contract.ui.seed import GROUPS, SEARCH, dag, task


def _ids(nodes: list[dict[str, Any]]) -> list[str]:
    return [node["id"] for node in nodes]


def test_trials_are_listed_in_natural_order_and_the_reducer_last() -> None:
    trials = ["trial", *(f"trial__{n}" for n in range(1, 12))]
    graph = DagGraph(dag("search", [*(task(t) for t in trials), task("best", *trials)]))
    assert _ids(grid_nodes(graph)) == [*trials, "best"]


def test_a_chain_named_against_its_direction_is_listed_along_it() -> None:
    names = [f"t{n}" for n in range(50)]
    tasks = [task(name, *names[i + 1 : i + 2]) for i, name in enumerate(names)]
    assert _ids(grid_nodes(DagGraph(dag("chain", tasks)))) == names[::-1]


def test_edges_of_a_plain_dag_are_its_dependencies() -> None:
    edges = {(edge["source_id"], edge["target_id"]) for edge in graph_edges(DagGraph(SEARCH))}
    assert edges == {(each["task_id"], "select_best") for each in SEARCH["tasks"] if each["task_id"] != "select_best"}


def test_labels_of_tasks_in_groups_lose_the_prefix() -> None:
    section = next(node for node in graph_nodes(DagGraph(GROUPS)) if node["id"] == "section_1")
    assert [node["label"] for node in section["children"]] == ["t1", "inner", "", ""]


def test_a_setup_and_its_teardown_are_joined_by_a_marked_edge() -> None:
    tasks = [task("open", is_setup=True), task("work", "open"), task("close", "open", "work", is_teardown=True)]
    marked = [edge for edge in graph_edges(DagGraph(dag("d", tasks))) if edge["is_setup_teardown"]]
    assert [(edge["source_id"], edge["target_id"]) for edge in marked] == [("open", "close")]


def test_labelled_edges_keep_their_label() -> None:
    spec = dag("d", [task("a"), task("b", "a")], edges=[{"from": "a", "to": "b", "label": "on Mondays"}])
    assert [edge["label"] for edge in graph_edges(DagGraph(spec))] == ["on Mondays"]


@pytest.mark.parametrize(
    ("upstream", "downstream", "depth", "kept"),
    [
        (False, False, None, {"b"}),
        (True, False, None, {"a", "b"}),
        (False, True, None, {"b", "c", "d"}),
        (False, True, 1, {"b", "c"}),
        (True, True, 0, {"b"}),
    ],
)
def test_a_part_of_the_dag_around_a_task(upstream: bool, downstream: bool, depth: int | None, kept: set[str]) -> None:
    spec = dag("d", [task("a"), task("b", "a"), task("c", "b"), task("d", "c")])
    part = DagGraph(subset(spec, "b", upstream=upstream, downstream=downstream, depth=depth))
    assert set(_ids(grid_nodes(part))) == kept


def test_a_part_keeps_the_groups_around_its_tasks_only() -> None:
    part = DagGraph(subset(GROUPS, "section_1.inner.t2", upstream=False, downstream=False, depth=None))
    assert set(part.groups) == {"section_1", "section_1.inner"}
    assert _ids(grid_nodes(part)) == ["section_1"]


def test_tasks_of_older_versions_are_added_to_the_grid() -> None:
    nodes = grid_nodes(DagGraph(dag("d", [task("a")])))
    merge_grid_nodes(nodes, grid_nodes(DagGraph(dag("d", [task("a"), task("gone", "a")]))))
    assert _ids(nodes) == ["a", "gone"]


@pytest.mark.parametrize(
    ("states", "together"),
    [
        (["success", "failed"], "failed"),
        (["success", None], None),
        (["running", "queued"], "queued"),
        (["success", "skipped"], "success"),
        ([], None),
    ],
)
def test_the_state_of_several_instances_together(states: list[str | None], together: str | None) -> None:
    assert Summary(Counter(states)).state() == together
