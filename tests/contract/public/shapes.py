"""Compares the shape of an answer with a recorded answer of Airflow 3.2.2: keys, types, null or missing."""

import json
import re
from pathlib import Path
from typing import Any

_GOLDEN = Path(__file__).parent / "golden"
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")

# Maps whose keys the user chooses.
_FREE = {"params", "conf", "default_args", "extra_links", "rendered_fields", "owner_links", "schema", "value"}
# What we add to Airflow 3.2.2's shapes, and why: see DAGResponse.
_ADDED = {"timetable_periodic", "is_backfillable"}


def golden(name: str) -> Any:
    """Load a recorded body."""
    return json.loads((_GOLDEN / f"{name}.json").read_text())


def differences(ours: Any, theirs: Any, path: str = "$") -> list[str]:
    """Where the shapes differ. Values do not matter; null fits every type, as recorded bodies have few of each."""
    if ours is None or theirs is None:
        return []
    if _kind(ours) != _kind(theirs):
        return [f"{path}: {ours!r} instead of {theirs!r}"]
    if isinstance(theirs, dict):
        return _of_objects(ours, theirs, path)
    if isinstance(theirs, list) and theirs:
        return [found for index, item in enumerate(ours) for found in differences(item, theirs[0], f"{path}[{index}]")]
    return []


def _of_objects(ours: dict[str, Any], theirs: dict[str, Any], path: str) -> list[str]:
    found = [f"{path}: {key} is missing" for key in theirs.keys() - ours.keys()]
    found += [f"{path}: {key} is unknown to Airflow" for key in ours.keys() - theirs.keys() - _ADDED]
    for key in theirs.keys() & ours.keys():
        if key in _FREE and isinstance(theirs[key], dict):
            continue
        found += differences(ours[key], theirs[key], f"{path}.{key}")
    return found


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "float"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, str):
        return "timestamp" if _TIMESTAMP.fullmatch(value) else "text"
    return type(value).__name__
