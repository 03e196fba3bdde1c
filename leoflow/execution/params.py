"""Checks the `conf` of a run against the params of its DAG, as Airflow does: a bad one never becomes a run."""

import re
from collections.abc import Mapping
from typing import Any


def problem_with(params: Mapping[str, Mapping[str, Any]], conf: Mapping[str, Any]) -> str | None:
    """Name the first param without a value that fits its JSON schema, and the rule; further keys of `conf` are allowed.

    Args:
        params: the params of the DAG's specification.
        conf: what the caller gave.
    """
    for name, param in params.items():
        if name not in conf and not param.get("has_value", True):
            return f"Invalid input for param {name}: No value passed and Param has no default value"
        reason = _violation(conf.get(name, param.get("value")), param.get("schema") or {})
        if reason:
            return f"Invalid input for param {name}: {reason}"
    return None


def _violation(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Return which rule a value breaks first, None when it fits."""
    if not schema:
        return None
    # Imported here: it takes longer than the rest together, and most DAGs have no params.
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import SchemaError, UnknownType
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # An empty registry: a schema never makes this process fetch anything.
    validator = Draft202012Validator(schema, format_checker=FormatChecker(), registry=Registry())
    try:
        broken = next(iter(validator.iter_errors(value)), None)
    except (SchemaError, UnknownType, Unresolvable, re.error, ValueError, TypeError, RecursionError) as error:
        return f"its schema cannot be applied ({type(error).__name__})"
    return None if broken is None else str(broken.message)
