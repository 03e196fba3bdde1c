"""Lays leoflow.yaml over what dag.py says: `tasks.<id>` wins over dag.py, dag.py over `defaults`."""

from collections.abc import Iterable
from typing import Any

from leoflow.compiler.errors import CompileError
from leoflow.compiler.loader import LoadedDag
from leoflow.compiler.project import Project
from leoflow.spec.leoflow_yaml import Defaults, LeoflowYaml, TaskOverlay
from leoflow.spec.yaml_reader import nearest

_SETTINGS = (
    ("retries", "retries"),
    ("retry_delay_seconds", "retry_delay"),
    ("execution_timeout_seconds", "execution_timeout"),
)
DEFAULT_OWNER = "airflow"


def apply_overlay(config: LeoflowYaml, dag: LoadedDag) -> dict[str, Any]:
    """Return the DAG's description with the project's settings in it."""
    spec = dict(dag.spec)
    spec["tasks"] = [_task(config, task, dag.explicit.get(task["task_id"], [])) for task in spec["tasks"]]
    spec["owners"] = sorted({task["owner"] for task in spec["tasks"]})
    if config.description is not None:
        spec["description"] = config.description
    if config.tags is not None:
        spec["tags"] = sorted({*spec["tags"], *config.tags})
    spec["python_version"] = config.python_version
    spec["dependencies"] = list(config.requirements())
    spec["system_packages"] = sorted(set(config.system_packages))
    spec["connections"] = _declared(config.connections, spec["connections"])
    spec["variables"] = _declared(config.variables, spec["variables"])
    spec["staging"] = config.staging.model_dump(mode="json") if config.staging.enabled else None
    spec["alerts"] = config.alerts.model_dump(mode="json") if config.alerts.on_failure else None
    return spec


def _declared(by_project: Iterable[str] | None, by_dag: Iterable[str]) -> list[str] | None:
    """Return what the project and the DAG declare together; None when neither says anything."""
    declared = {*(by_project or ()), *by_dag}
    return sorted(declared) if declared or by_project is not None else None


def _task(config: LeoflowYaml, task: dict[str, Any], explicit: list[str]) -> dict[str, Any]:
    overlay = config.tasks.get(task["task_id"], TaskOverlay())
    changed = {**task, **_settings(overlay, config.defaults, explicit)}
    if config.owner and "owner" not in explicit:
        changed["owner"] = config.owner
    changed["env"] = dict(overlay.env)
    changed["resources"] = _resources(overlay, config.defaults)
    changed["execution"] = _execution(overlay, config.defaults)
    return changed


def _settings(overlay: TaskOverlay, defaults: Defaults, explicit: list[str]) -> dict[str, Any]:
    chosen = {}
    for name, attribute in _SETTINGS:
        own, default = getattr(overlay, name), getattr(defaults, name)
        if own is not None:
            chosen[name] = own
        elif default is not None and attribute not in explicit:
            chosen[name] = default
    return chosen


def _resources(overlay: TaskOverlay, defaults: Defaults) -> dict[str, Any]:
    if overlay.resources is not None:
        return overlay.resources.model_dump(mode="json", exclude_none=True)
    if defaults.resources is not None:
        amounts = defaults.resources.model_dump(mode="json")
        return {"requests": amounts, "limits": amounts}
    return {}


def _execution(overlay: TaskOverlay, defaults: Defaults) -> dict[str, Any]:
    execution = overlay.execution.model_dump(mode="json", exclude_none=True) if overlay.execution else {}
    if defaults.node_selector and "node_selector" not in execution:
        execution["node_selector"] = dict(defaults.node_selector)
    if defaults.attempts_per_process is not None:
        execution.setdefault("attempts_per_process", defaults.attempts_per_process)
    return execution


def choose_dags(project: Project, dags: tuple[LoadedDag, ...]) -> tuple[list[LoadedDag], list[str]]:
    """Return the DAGs `dag_id` of leoflow.yaml asks for (all without it) and warnings about the others."""
    wanted = project.config.dag_id
    found = [dag.spec["dag_id"] for dag in dags]
    if wanted is None:
        return list(dags), []
    if wanted not in found:
        guess = nearest(wanted, found)
        raise CompileError(
            f"dag_id {wanted!r} is not defined by {project.dag_files[0]}, which defines {', '.join(found)}",
            root=project.root,
            file="leoflow.yaml",
            line=project.document.line_of(("dag_id",)),
            rule="dag-id",
            hint=f"Did you mean {guess!r}?" if guess else "Use the DAG's own dag_id, or leave it out.",
        )
    others = [dag_id for dag_id in found if dag_id != wanted]
    text = f"leoflow.yaml chooses {wanted!r}; not compiled: {', '.join(others)}"
    return [dag for dag in dags if dag.spec["dag_id"] == wanted], [text] if others else []


def check_task_ids(project: Project, dags: Iterable[LoadedDag]) -> None:
    """Refuse settings of tasks that no DAG of the project has."""
    known = {task["task_id"] for dag in dags for task in dag.spec["tasks"]}
    for task_id in project.config.tasks:
        if task_id not in known:
            guess = nearest(task_id, known)
            some = ", ".join(sorted(known)[:20])
            raise CompileError(
                f"unknown task id {task_id!r} under tasks",
                root=project.root,
                file="leoflow.yaml",
                line=project.document.line_of(("tasks", task_id)),
                rule="task-id",
                hint=f"Did you mean {guess!r}?" if guess else f"The DAG's tasks are: {some}.",
            )
