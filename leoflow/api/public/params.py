"""Checks the `conf` of a trigger against the params of a DAG, as Airflow does: a bad one never becomes a run."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException


def check_conf(params: Mapping[str, Mapping[str, Any]], conf: Mapping[str, Any]) -> None:
    """Check that every param has a value that fits its JSON schema; further keys of `conf` are allowed.

    Args:
        params: the params of the DAG's specification.
        conf: what the caller gave.

    Raises:
        HTTPException: 400 that names the param and the rule.
    """
    for name, param in params.items():
        if name not in conf and not param.get("has_value", True):
            raise HTTPException(400, f"Invalid input for param {name}: No value passed and Param has no default value")
        reason = _violation(conf.get(name, param.get("value")), param.get("schema") or {})
        if reason:
            raise HTTPException(400, f"Invalid input for param {name}: {reason}")


def _violation(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Return which rule a value breaks first, None when it fits."""
    if not schema:
        return None
    # Imported here: it takes longer than the rest of the API, and most DAGs have no params.
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
