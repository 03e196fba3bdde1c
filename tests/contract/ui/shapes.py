"""Compares the shape of an answer with a recorded answer of Airflow 3.2.2: keys, types, null or missing."""

import json
import re
from pathlib import Path
from typing import Any

_GOLDEN = Path(__file__).parent / "golden"
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")

Json = Any


def golden(name: str) -> Json:
    """Load a recorded body."""
    return json.loads((_GOLDEN / f"{name}.json").read_text())


def assert_shape(ours: Json, theirs: Json, path: str = "$") -> None:
    """Fail with the path where the shapes differ; values do not matter, except that timestamps look alike."""
    if ours is None or theirs is None:
        return
    assert _kind(ours) == _kind(theirs), f"{path}: {ours!r} instead of {theirs!r}"
    if isinstance(theirs, dict):
        assert_items([ours], [theirs], path)
    elif isinstance(theirs, list):
        assert_items(ours, theirs, f"{path}[]")


def assert_items(ours: list[Json], theirs: list[Json], path: str) -> None:
    """Every item of ours has the keys all of theirs have, and none that no item of theirs has."""
    records = [item for item in theirs if isinstance(item, dict)]
    if not records:
        for mine in ours if theirs else []:
            assert_shape(mine, theirs[0], path)
        return
    possible = set().union(*records)
    required = set(records[0]).intersection(*records)
    samples = {key: _sample([item.get(key) for item in records]) for key in possible}
    for mine in ours:
        assert required <= set(mine), f"{path}: missing {sorted(required - set(mine))}"
        assert set(mine) <= possible, f"{path}: unknown {sorted(set(mine) - possible)}"
        for key, value in mine.items():
            assert_shape(value, samples[key], f"{path}.{key}")


def _sample(values: list[Json]) -> Json:
    """One value to stand for many: lists joined, else the first that is not null."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, list) for value in known):
        return [item for value in known for item in value]
    return known[0] if known else None


def _kind(value: Json) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "timestamp" if _TIMESTAMP.fullmatch(value) else "text"
    return type(value).__name__
