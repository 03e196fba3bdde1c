"""Describes one task: what the engine must know, and what people want to see."""

import inspect
from typing import Any

from leoflow.runtime.loading.describe_assets import describe_asset
from leoflow.runtime.loading.describe_mapping import describe_expand_input
from leoflow.runtime.loading.describe_values import (
    callable_name,
    literal,
    mapped_output,
    module_name,
    reduce_list,
    seconds,
    sorted_strings,
    timestamp,
    type_name,
    xcom_refs,
)

_CALLBACKS = ("on_execute", "on_failure", "on_retry", "on_skipped", "on_success")


def describe_task(task: Any, effective_priority: int) -> dict[str, Any]:
    """Return the task's entry of dag.json."""
    mapping = describe_expand_input(task._get_specified_expand_input()) if task.is_mapped else None
    return {
        "task_id": task.task_id,
        "task_display_name": task.task_display_name,
        "operator": task.task_type,
        "operator_name": task.operator_name,
        "class": _class_name(task),
        "kind": _kind(task),
        "depends_on": sorted_strings(task.upstream_task_ids),
        "trigger_rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        **_retries(task),
        **_limits(task),
        "effective_priority": effective_priority,
        **_place(task),
        "mapping": mapping,
        **_arguments(task),
        "template_fields": sorted_strings(task.template_fields),
        "multiple_outputs": bool(_attribute(task, "multiple_outputs", False)),
        "do_xcom_push": bool(_attribute(task, "do_xcom_push", True)),
        "doc_md": task.doc_md,
        "ui_color": task.ui_color,
        "ui_fgcolor": task.ui_fgcolor,
        "params": describe_params(task.params),
        "extra_links": sorted({link.name for link in task.operator_extra_links or ()}),
        "extra_link_keys": {link.name: link.xcom_key for link in task.operator_extra_links or ()},
        **{f"has_{name}_callback": bool(getattr(task, f"{name}_callback")) for name in _CALLBACKS},
        "inlets": [describe_asset(each) for each in task.inlets or ()],
        "outlets": [describe_asset(each) for each in task.outlets or ()],
        "extra": _extra(task),
    }


def weight_rule(task: Any) -> str:
    """Return the name of a built-in rule, or the class of a custom one."""
    rule = task.weight_rule
    value = getattr(rule, "value", rule)
    return value if isinstance(value, str) else type_name(value)


def describe_params(params: Any) -> dict[str, Any]:
    """Return params by name."""
    from airflow.sdk.definitions._internal.types import is_arg_set
    from airflow.sdk.definitions.param import ParamsDict

    described = {}
    params = params if isinstance(params, ParamsDict) else ParamsDict(params)
    for name in params:
        param = params.get_param(name)
        given = is_arg_set(param.value)
        described[name] = {
            "value": param.value if given else None,
            "has_value": given,
            "schema": param.schema,
            "description": param.description,
        }
    return described


def _attribute(task: Any, name: str, default: Any = None) -> Any:
    """Read an attribute of a plain task, or of a mapped one where it may be among the partial arguments."""
    if task.is_mapped:
        return getattr(task, name, task.partial_kwargs.get(name, default))
    return getattr(task, name, default)


def _operator_class(task: Any) -> Any:
    return task.operator_class if task.is_mapped else type(task)


def _class_name(task: Any) -> str:
    kind = _operator_class(task)
    return f"{module_name(kind.__module__)}.{kind.__qualname__}"


def _kind(task: Any) -> str:
    ancestors = {kind.__name__ for kind in _operator_class(task).__mro__}
    if ancestors & {"BranchMixIn", "BaseBranchOperator"}:
        return "branch"
    if "ShortCircuitOperator" in ancestors:
        return "short_circuit"
    if "BaseSensorOperator" in ancestors:
        return "sensor"
    if "EmptyOperator" in ancestors:
        return "empty"
    return "python" if ancestors & {"PythonOperator", "DecoratedOperator"} else "operator"


def _retries(task: Any) -> dict[str, Any]:
    return {
        "retries": int(task.retries or 0),
        "retry_delay_seconds": seconds(task.retry_delay),
        # `True` is Airflow's older spelling of "double every time".
        "retry_exponential_backoff": 2.0
        if task.retry_exponential_backoff is True
        else float(task.retry_exponential_backoff or 0),
        "max_retry_delay_seconds": seconds(getattr(task, "max_retry_delay", None)),
        "execution_timeout_seconds": seconds(task.execution_timeout),
    }


def _limits(task: Any) -> dict[str, Any]:
    return {
        "pool": task.pool,
        "pool_slots": task.pool_slots,
        "priority_weight": int(task.priority_weight),
        "weight_rule": weight_rule(task),
        "queue": task.queue,
        "owner": task.owner,
        "depends_on_past": bool(task.depends_on_past),
        "wait_for_downstream": bool(task.wait_for_downstream),
        "max_active_tis_per_dag": task.max_active_tis_per_dag,
        "max_active_tis_per_dagrun": task.max_active_tis_per_dagrun,
    }


def _place(task: Any) -> dict[str, Any]:
    return {
        "is_setup": bool(task.is_setup),
        "is_teardown": bool(task.is_teardown),
        "on_failure_fail_dagrun": bool(task.on_failure_fail_dagrun),
        "group_id": task.task_group.group_id if task.task_group else None,
        "map_index_template": task.map_index_template,
    }


def _arguments(task: Any) -> dict[str, Any]:
    """Split the arguments into reduce lists, references and literals."""
    given = _given(task)
    reduce_inputs = {name: ids for name, value in given.items() if (ids := reduce_list(value))}
    templates = [_attribute(task, name) for name in task.template_fields]
    sources = [*given.values(), *templates]
    if task.is_mapped:
        sources.append(task._get_specified_expand_input().value)
    literals = {
        name: literal(value) for name, value in given.items() if name not in reduce_inputs and not xcom_refs(value)
    }
    return {"xcom_input": reduce_inputs, "xcom_refs": xcom_refs(*sources), "call_args": literals}


def _given(task: Any) -> dict[str, Any]:
    return _python_arguments(task) if _is_python(task) else _operator_arguments(task)


def _is_python(task: Any) -> bool:
    return callable(_attribute(task, "python_callable"))


def _python_arguments(task: Any) -> dict[str, Any]:
    """Bind the arguments of a Python task to the parameter names of its function."""
    args, kwargs = _attribute(task, "op_args") or (), _attribute(task, "op_kwargs") or {}
    if not isinstance(args, (list, tuple)) or not isinstance(kwargs, dict):
        return {"op_args": args, "op_kwargs": kwargs}
    try:
        signature = inspect.signature(_attribute(task, "python_callable"))
        bound = signature.bind_partial(*args, **kwargs)
    except (TypeError, ValueError):
        return {"op_args": args, **kwargs}
    arguments: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(value)
        else:
            arguments[name] = value
    return arguments


def _operator_arguments(task: Any) -> dict[str, Any]:
    """Return what the author passed to the operator beyond what every operator takes."""
    from airflow.sdk import BaseOperator

    common = set(inspect.signature(BaseOperator.__init__).parameters)
    given = task.partial_kwargs if task.is_mapped else getattr(task, "_BaseOperator__init_kwargs", {})
    return {name: value for name, value in given.items() if name not in common and not name.startswith("_")}


def _mapped_inputs(task: Any) -> dict[str, str]:
    """Return which parameters are given all that a mapped task, or one in a mapped group, returns."""
    found = {name: mapped_output(value) for name, value in _given(task).items()}
    return {name: task_id for name, task_id in found.items() if task_id is not None}


def _extra(task: Any) -> dict[str, Any]:
    """Return the rarely used attributes that differ from their default."""
    extra = {
        "mapped_input": _mapped_inputs(task),
        "doc": task.doc,
        "doc_json": task.doc_json,
        "doc_yaml": task.doc_yaml,
        "doc_rst": task.doc_rst,
        "run_as_user": task.run_as_user,
        "executor": task.executor,
        "executor_config": literal(task.executor_config or {}),
        "email": literal(task.email),
        "start_date": timestamp(task.start_date),
        "end_date": timestamp(task.end_date),
        "deferrable": bool(_attribute(task, "deferrable", False)),
        "start_from_trigger": bool(_attribute(task, "start_from_trigger", False)),
        "ignore_first_depends_on_past": bool(task.ignore_first_depends_on_past),
        "wait_for_past_depends_before_skipping": bool(task.wait_for_past_depends_before_skipping),
        "render_template_as_native_obj": task.render_template_as_native_obj,
        "ignore_downstream_trigger_rules": _ignores_rules(task),
        "sensor": _sensor(task),
        "python_callable": callable_name(_attribute(task, "python_callable")) if _is_python(task) else None,
    }
    return {name: value for name, value in extra.items() if value not in (None, False, {}, [])}


def _ignores_rules(task: Any) -> "bool | None":
    return bool(_attribute(task, "ignore_downstream_trigger_rules", True)) if _kind(task) == "short_circuit" else None


def _sensor(task: Any) -> "dict[str, Any] | None":
    if _kind(task) != "sensor":
        return None
    names = ("mode", "poke_interval", "timeout", "soft_fail", "exponential_backoff", "max_wait")
    return {name: literal(value) for name in names if (value := _attribute(task, name)) is not None}
