"""Describes what a mapped task or group expands over: enough to know how many instances there will be."""

from collections.abc import Mapping, Sequence
from typing import Any

from leoflow.runtime.loading.describe_values import describe_reference


def describe_expand_input(expand: Any) -> dict[str, Any]:
    """Return `kind`, `inputs` in the order given (it decides the order of a cross product) and `length` if known.

    Every `task_id` in it is a task that is mapped over.
    """
    from airflow.sdk.definitions._internal.expandinput import DictOfListsExpandInput

    if isinstance(expand, DictOfListsExpandInput):
        inputs = [{"param": name, **_input(value)} for name, value in expand.value.items()]
        return {"kind": "expand", "inputs": inputs, "length": _product(inputs)}
    described = _dicts(expand.value)
    return {"kind": "expand_kwargs", "inputs": [described], "length": described.get("length")}


def _input(value: Any) -> dict[str, Any]:
    if isinstance(value, (Mapping, Sequence)):
        return {"type": "literal", "length": len(value)}
    return describe_reference(value)


def _dicts(value: Any) -> dict[str, Any]:
    """Describe what `expand_kwargs` got: a reference, or a list whose items may be references too."""
    described = _input(value)
    if isinstance(value, Sequence):
        references = [describe_reference(item) for item in value if not isinstance(item, Mapping)]
        if references:
            described["items"] = references
    return described


def _product(inputs: list[dict[str, Any]]) -> "int | None":
    total = 1
    for each in inputs:
        if "length" not in each:
            return None
        total *= each["length"]
    return total
