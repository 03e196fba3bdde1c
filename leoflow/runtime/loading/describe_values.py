"""Describes argument values: JSON as it is, references by name, anything else by its type. Always deterministic."""

import datetime
import decimal
import enum
import math
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

MAX_LITERAL_BYTES = 8192


def type_name(value: Any) -> str:
    """Return `module.Class` of an object or class; the DAG file's own module is called by its file name."""
    kind = value if isinstance(value, type) else type(value)
    return f"{module_name(kind.__module__)}.{kind.__qualname__}"


def module_name(name: str) -> str:
    """Undo the unique module name a DAG file gets while it is loaded."""
    return name.split("_", 3)[3] if name.startswith("unusual_prefix_") else name


def callable_name(value: Any) -> str:
    """Return `module.qualname` of a function, or of an object's class."""
    name = getattr(value, "__qualname__", None)
    return f"{module_name(value.__module__)}.{name}" if name else type_name(value)


def seconds(value: Any) -> "float | None":
    """Return a timedelta in seconds."""
    return None if value is None else float(value.total_seconds())


def timestamp(value: Any) -> "str | None":
    """Return a datetime as ISO 8601 in UTC."""
    if value is None:
        return None
    if value.tzinfo is not None:
        value = value.astimezone(datetime.timezone.utc)
    return str(value.isoformat()).replace("+00:00", "Z")


def literal(value: Any) -> Any:
    """Return `value` itself where it is JSON of moderate size, else a description starting with `$type`."""
    budget = [MAX_LITERAL_BYTES]
    described = _describe(value, budget, 0)
    if budget[0] < 0:
        size = len(value) if hasattr(value, "__len__") else None
        return {"$type": type_name(value), "$length": size}
    return described


def _describe(value: Any, budget: list[int], depth: int) -> Any:
    budget[0] -= 8
    if budget[0] < 0 or depth > 20:
        budget[0] = -1
        return None
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        budget[0] -= len(value)
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, enum.Enum):
        budget[0] -= value.bit_length() // 3
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$type": "float", "value": str(value)}
    if isinstance(value, (list, tuple)):
        return [_describe(item, budget, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return _describe_mapping(value, budget, depth)
    if isinstance(value, (set, frozenset)):
        items = [_describe(item, budget, depth + 1) for item in value]
        return {"$type": "set", "items": sorted(items, key=repr)}
    return _describe_object(value, budget)


def _describe_mapping(value: Mapping[Any, Any], budget: list[int], depth: int) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {str(key): _describe(item, budget, depth + 1) for key, item in value.items()}
    items = [[_describe(k, budget, depth + 1), _describe(v, budget, depth + 1)] for k, v in value.items()]
    return {"$type": "dict", "items": items}


def _describe_object(value: Any, budget: list[int]) -> Any:
    from airflow.sdk.definitions._internal.mixins import ResolveMixin

    if isinstance(value, enum.Enum):
        return {"$type": type_name(value), "value": value.name}
    if isinstance(value, datetime.datetime):
        return {"$type": "datetime", "value": timestamp(value)}
    if isinstance(value, (datetime.date, datetime.time)):
        return {"$type": type(value).__name__, "value": value.isoformat()}
    if isinstance(value, datetime.timedelta):
        return {"$type": "timedelta", "seconds": value.total_seconds()}
    if isinstance(value, (decimal.Decimal, PurePath)):
        budget[0] -= len(str(value))
        return {"$type": type(value).__name__.lower(), "value": str(value)}
    if isinstance(value, ResolveMixin):
        return describe_reference(value)
    if isinstance(value, type) or callable(value):
        return {"$type": "callable", "name": callable_name(value)}
    return {"$type": type_name(value)}


def describe_reference(value: Any) -> dict[str, Any]:
    """Describe an XComArg of any form, a mapped group's argument, or a DAG param."""
    from airflow.sdk.definitions import xcom_arg
    from airflow.sdk.definitions._internal.types import is_arg_set

    if isinstance(value, xcom_arg.PlainXComArg):
        return {"type": "xcom", "task_id": value.operator.task_id, "key": value.key}
    if isinstance(value, xcom_arg.MapXComArg):
        names = [callable_name(each) for each in value.callables]
        return {"type": "map", "arg": describe_reference(value.arg), "callables": names}
    if isinstance(value, xcom_arg.ZipXComArg):
        described: dict[str, Any] = {"type": "zip", "args": [describe_reference(arg) for arg in value.args]}
        if is_arg_set(value.fillvalue):
            described["fillvalue"] = literal(value.fillvalue)
        return described
    if isinstance(value, xcom_arg.ConcatXComArg):
        return {"type": "concat", "args": [describe_reference(arg) for arg in value.args]}
    if hasattr(value, "_input") and hasattr(value, "_key"):
        return {"type": "mapped_argument", "key": value._key}
    if hasattr(value, "current_dag"):
        return {"type": "param", "name": value._name}
    return {"type": "reference", "class": type_name(value)}


def xcom_refs(*values: Any) -> list[list[str]]:
    """Return every XCom the values refer to, at any depth: sorted, each once, empty keys left out."""
    from airflow.sdk.definitions.xcom_arg import XComArg

    found = {
        (operator.task_id, key) for value in values for operator, key in XComArg.iter_xcom_references(value) if key
    }
    return [list(reference) for reference in sorted(found)]


def reduce_list(value: Any) -> "list[str] | None":
    """Return the task ids of a non-empty list or tuple made only of plain task calls, in its order."""
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

    if not isinstance(value, (list, tuple)) or not value:
        return None
    if not all(isinstance(item, PlainXComArg) and item.key == "return_value" for item in value):
        return None
    if any(item.operator.is_mapped for item in value):
        return None
    return [item.operator.task_id for item in value]


def mapped_output(value: Any) -> "str | None":
    """Return the id of the task with several instances whose return values, as a whole, the value is."""
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

    if not isinstance(value, PlainXComArg) or value.key != "return_value":
        return None
    many = value.operator.is_mapped or value.operator.get_closest_mapped_task_group() is not None
    return str(value.operator.task_id) if many else None


def sorted_strings(values: "Iterable[Any] | None") -> list[str]:
    """Return the values as sorted strings; an enum of strings counts as its value."""
    return sorted(str.__str__(value) if isinstance(value, str) else str(value) for value in values or ())


def without_root(value: Any, root: str) -> Any:
    """Replace the project's directory in every string: it differs between machines."""
    if isinstance(value, str):
        return value.replace(root, "${project}") if root in value else value
    if isinstance(value, dict):
        return {key: without_root(item, root) for key, item in value.items()}
    if isinstance(value, list):
        return [without_root(item, root) for item in value]
    return value
