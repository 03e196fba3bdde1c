"""XCom values as stored: the UTF-8 JSON of what the Task SDK serialised."""

import json
from typing import Any

import orjson

from leoflow.storable import MAX_DEPTH, shown


class TooLargeError(ValueError):
    """A value is above the limit; the text says by how much."""


def encode(value: Any, limit: int) -> bytes:
    """Encode a value for the database.

    NaN and infinities stay what they are (as Python writes them), since losing a loss of NaN would be a lie.

    Raises:
        TooLargeError: the encoded value has more than `limit` bytes.
        ValueError: the value cannot be encoded.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        data = text.encode()
    except (TypeError, UnicodeEncodeError, RecursionError) as error:
        raise ValueError(f"the value cannot be stored as JSON: {error}") from error
    if len(data) > limit:
        raise TooLargeError(
            f"the value has {len(data):,} bytes as JSON and the limit is {limit:,}; "
            "write large data to a file or object store and return its address"
        )
    return data


def decode(data: bytes | memoryview | None) -> Any:
    """Decode a stored value; None stays None."""
    if data is None:
        return None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:  # NaN, infinities and integers above 64 bits
        return json.loads(bytes(data))


def without_nul(value: Any, depth: int = 0) -> Any:
    """Return a JSON value that can be kept as jsonb: NUL, half surrogate pairs, NaN and too deep parts replaced."""
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {shown(str(key)): without_nul(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nul(item, depth + 1) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value
