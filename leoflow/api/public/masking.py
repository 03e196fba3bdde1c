"""Hides secrets in what leaves the server: values whose name sounds secret become `***`."""

import json
from typing import Any

from leoflow.execution.sensitive import is_sensitive

MASK = "***"


def redact(value: Any, name: str = "") -> Any:
    """Replace secret leaves of a JSON value by the mask; the structure stays."""
    if isinstance(value, dict):
        return {key: redact(item, f"{name}.{key}" if is_sensitive(name) else str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [redact(item, name) for item in value]
    return MASK if value is not None and is_sensitive(name) else value


def redact_text(text: str | None, name: str = "") -> str | None:
    """Redact a text that may be a JSON object or list; other text is a value of that name."""
    if not text:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict | list):
        return json.dumps(redact(value, name))
    return MASK if is_sensitive(name) else text


def restore(new: Any, old: Any) -> Any:
    """Put back the old value wherever the new one is only the mask that we had shown instead of it."""
    if new == MASK:
        return old
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: restore(item, old.get(key, item)) for key, item in new.items()}
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [restore(item, previous) for item, previous in zip(new, old, strict=True)]
    return new


def restore_text(new: str | None, old: str | None) -> str | None:
    """Like `restore`, for texts that hold JSON objects or lists."""
    if new is None or old is None or MASK not in new:
        return new
    if new == MASK:
        return old
    try:
        values = json.loads(new), json.loads(old)
    except ValueError:
        return new
    return json.dumps(restore(*values))
