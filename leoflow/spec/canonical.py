"""The canonical form of dag.json: one byte string per meaning, whatever the machine, time or hash seed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from leoflow.errors import LeoflowError
from leoflow.storable import find_flaw, is_too_deep


def canonical_json(value: Any) -> bytes:
    """Encode a JSON value with sorted keys and no insignificant white space.

    Raises:
        LeoflowError: the value holds something JSON or Postgres' jsonb cannot keep: NaN, infinity, a NUL
            character, half a surrogate pair, or an object that is not JSON at all.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        encoded = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise LeoflowError("not representable as JSON", where=_path_of_culprit(value), hint=str(error)) from error
    if "\\u0000" in text or is_too_deep(value):
        check_storable(value)
    return encoded


def check_storable(value: Any) -> None:
    """Raise a LeoflowError that names the place of what Postgres cannot keep."""
    if flaw := find_flaw(value):
        rule, _, remedy = flaw.rule.partition("; ")
        raise LeoflowError(rule, where=f"$.{flaw.path}" if flaw.path else "$", hint=remedy)


def sha256(data: bytes) -> str:
    """Return the lower-case hex digest."""
    return hashlib.sha256(data).hexdigest()


def _path_of_culprit(value: Any, path: str = "$", depth: int = 0) -> str:
    """Name the innermost place that cannot be encoded, for the error message."""
    if depth > 100:
        return path
    for key, item in _items(value):
        try:
            json.dumps(item, sort_keys=True, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError):
            return _path_of_culprit(item, f"{path}.{key}", depth + 1)
    return path


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(enumerate(value))
    return []
