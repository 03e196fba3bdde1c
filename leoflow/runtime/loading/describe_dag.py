"""Describes one DAG: everything of dag.json that comes from the DAG file itself."""

from pathlib import Path
from typing import Any

from leoflow.runtime.loading.describe_mapping import describe_expand_input
from leoflow.runtime.loading.describe_schedule import describe_schedule, summary_of
from leoflow.runtime.loading.describe_secrets import named_secrets, watcher_connections
from leoflow.runtime.loading.describe_task import describe_params, describe_task, weight_rule
from leoflow.runtime.loading.describe_values import (
    literal,
    seconds,
    sorted_strings,
    timestamp,
    type_name,
    without_root,
)
from leoflow.runtime.loading.priority import effective_priorities


def describe_dag(dag: Any, root: Path, file: str) -> dict[str, Any]:
    """Return the description; the same for the same sources, wherever `root` is."""
    summary, description = summary_of(dag.timetable)
    rules = {task_id: weight_rule(task) for task_id, task in dag.task_dict.items()}
    priorities = effective_priorities(dag.task_dict, rules)
    described = {
        "dag_id": dag.dag_id,
        "dag_display_name": dag.dag_display_name,
        "description": dag.description,
        "doc_md": dag.doc_md,
        "owners": sorted({task.owner for task in dag.task_dict.values()}),
        "owner_links": dict(dag.owner_links),
        "tags": sorted_strings(dag.tags),
        "schedule": describe_schedule(dag.timetable),
        "timetable_summary": summary,
        "timetable_description": description,
        "timezone": dag.timezone.name,
        "start_date": timestamp(dag.start_date),
        "end_date": timestamp(dag.end_date),
        "catchup": bool(dag.catchup),
        **_limits(dag),
        "is_paused_upon_creation": dag.is_paused_upon_creation,
        "render_template_as_native_obj": dag.render_template_as_native_obj,
        "allowed_run_types": sorted(each.value for each in dag.allowed_run_types) if dag.allowed_run_types else None,
        "has_on_failure_callback": bool(dag.on_failure_callback),
        "has_on_success_callback": bool(dag.on_success_callback),
        "deadlines": [_deadline(each) for each in dag.deadline or ()],
        "params": describe_params(dag.params),
        "default_args": {name: literal(value) for name, value in dag.default_args.items()},
        "task_groups": _groups(dag),
        "edges": _labelled_edges(dag),
        "tasks": [describe_task(dag.task_dict[each], priorities[each]) for each in sorted(dag.task_dict)],
    }
    secrets = named_secrets(dag)
    mentioned = [
        described["schedule"],
        *(asset for task in described["tasks"] for asset in task["inlets"] + task["outlets"]),
    ]
    secrets["connections"] |= watcher_connections(mentioned)
    described.update({kind: sorted(names) for kind, names in secrets.items()})
    plain: dict[str, Any] = without_root(described, str(root))
    plain["source_path"] = file
    return plain


def _limits(dag: Any) -> dict[str, Any]:
    return {
        "max_active_runs": dag.max_active_runs,
        "max_active_tasks": dag.max_active_tasks,
        "max_consecutive_failed_dag_runs": dag.max_consecutive_failed_dag_runs,
        "dagrun_timeout_seconds": seconds(dag.dagrun_timeout),
        "fail_fast": dag.fail_fast,
    }


def _deadline(alert: Any) -> dict[str, Any]:
    callback = alert.callback
    return {
        "reference": literal(alert.reference.serialize_reference()),
        "interval_seconds": seconds(alert.interval),
        "callback": {"type": type_name(callback), "path": callback.path, "kwargs": literal(callback.kwargs)},
    }


def _groups(dag: Any) -> list[dict[str, Any]]:
    groups = dag.task_group.get_task_group_dict()
    return [_group(groups[group_id]) for group_id in sorted(each for each in groups if each)]


def _group(group: Any) -> dict[str, Any]:
    expand = getattr(group, "_expand_input", None)
    return {
        "group_id": group.group_id,
        "label": group.label,
        "tooltip": group.tooltip,
        "parent_group_id": group.parent_group.group_id if group.parent_group else None,
        "prefix_group_id": bool(group.prefix_group_id),
        "ui_color": group.ui_color,
        "ui_fgcolor": group.ui_fgcolor,
        "is_mapped": expand is not None,
        "mapping": None if expand is None else describe_expand_input(expand),
        "upstream_group_ids": sorted_strings(each for each in group.upstream_group_ids if each),
        "downstream_group_ids": sorted_strings(each for each in group.downstream_group_ids if each),
        "upstream_task_ids": sorted_strings(group.upstream_task_ids),
        "downstream_task_ids": sorted_strings(group.downstream_task_ids),
    }


def _labelled_edges(dag: Any) -> list[dict[str, Any]]:
    edges = [
        {"from": upstream, "to": downstream, "label": info["label"]}
        for upstream, targets in dag.edge_info.items()
        for downstream, info in targets.items()
        if info.get("label")
    ]
    return sorted(edges, key=lambda edge: (edge["from"], edge["to"]))
