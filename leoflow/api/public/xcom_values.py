"""XCom values between the bytes in the database and an answer: a port of what Airflow shows, without its classes."""

import json
import math
from typing import Any

from leoflow.storable import is_too_deep, shown

_CLASS, _VERSION, _DATA = "__classname__", "__version__", "__data__"
_RESERVED = frozenset({_CLASS, _VERSION, _DATA, "__id__", "__cache__"})
_COLLECTIONS = ("builtins.tuple", "builtins.set", "builtins.frozenset")


def load(value: bytes | memoryview | None) -> Any:
    """Parse stored JSON. Numbers JSON does not have become texts, and so does a value no answer can carry as JSON."""
    if value is None:
        return None
    try:
        found = json.loads(bytes(value))
    except (RecursionError, ValueError):
        return shown(bytes(value).decode(errors="replace"))
    return shown(bytes(value).decode(errors="replace")) if is_too_deep(found) else _showable(found)


def dump(value: Any) -> bytes:
    """Encode a value as the Task SDK does."""
    return json.dumps(value).encode()


def readable(value: Any) -> Any:
    """Show serialised objects as Airflow does: `(1,2)` for a tuple, `module.Class@version=1(a=2)` for others."""
    if isinstance(value, list):
        return [readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _CLASS not in value or _VERSION not in value:
        return {key: readable(item) for key, item in value.items()}
    data = value.get(_DATA)
    if value[_CLASS] in _COLLECTIONS and isinstance(data, list):
        return f"({','.join(str(readable(item)) for item in data)})"
    return f"{value[_CLASS]}@version={value[_VERSION]}({_inside(data)})"


def reserved_keys(value: Any) -> set[str]:
    """The keys in a value that only the serialiser may write."""
    if isinstance(value, dict):
        nested = (reserved_keys(item) for item in value.values())
        return set(_RESERVED & value.keys()).union(*nested)
    if isinstance(value, list):
        return set().union(*(reserved_keys(item) for item in value))
    return set()


def _inside(data: Any) -> str:
    if isinstance(data, list):
        return ",".join(str(readable(item)) for item in data)
    if isinstance(data, dict):
        return ",".join(f"{key}={readable(item)}" for key, item in data.items())
    return "" if data is None else str(data)


def _showable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, list):
        return [_showable(item) for item in value]
    if isinstance(value, dict):
        return {shown(key): _showable(item) for key, item in value.items()}
    return value
