"""Refuses the `conf` of a trigger that does not fit the params of its DAG."""

from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException

from leoflow.execution.params import problem_with


def check_conf(params: Mapping[str, Mapping[str, Any]], conf: Mapping[str, Any]) -> None:
    """Check that every param has a value that fits its JSON schema; further keys of `conf` are allowed.

    Args:
        params: the params of the DAG's specification.
        conf: what the caller gave.

    Raises:
        HTTPException: 400 that names the param and the rule.
    """
    problem = problem_with(params, conf)
    if problem is not None:
        raise HTTPException(400, problem)
