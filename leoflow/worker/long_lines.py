"""Structured log lines that are too long: what is long in them is cut, the rest stays as it is."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

MaskEnd = Callable[[str], str]
"""Takes the beginning of a secret from the end of a text that was cut."""

_BEGINNING = re.compile(rb'\{"timestamp":("[^"\\]*"),"level":("[^"\\]*"),"event":"')
_HALF_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)$")
_KEPT = 64
"""So many items of a long list are kept: half of its beginning, half of its end."""


def first_part(line: bytes, mask_end: MaskEnd) -> dict[str, Any]:
    """Read the beginning of a line of the SDK that is too long to be read as a whole: time, level, and some text.

    Raises:
        ValueError: it does not begin as lines of the SDK do.
    """
    found = _BEGINNING.match(line)
    if found is None:
        raise ValueError("not a line of the SDK")
    text = line[found.end() :]
    half = _HALF_ESCAPE.search(text)
    if half is not None:
        text = text[: half.start(1)]
    # A character, or a pair of escapes, may be cut in the middle: up to three bytes, or six.
    for end in (0, 1, 2, 3, 6):
        whole = text[: len(text) - end]
        try:
            event = orjson.loads(b'"' + whole + b'"')
        except orjson.JSONDecodeError:
            continue
        return {
            "timestamp": orjson.loads(found[1]),
            "level": orjson.loads(found[2]),
            "event": f"{mask_end(event)} … (the rest of a very long line is cut)",
            "logger": "task",
        }
    raise ValueError("not a text")


def shortened(event: dict[str, Any], limit: int, mask_end: MaskEnd) -> dict[str, Any]:
    """Return an event that is encoded in at most `limit` bytes: long texts and lists in it are cut, with a mark."""
    for of_text, of_others in _lengths(limit):
        short = {
            str(name): _cut(value, of_text if name == "event" else of_others, mask_end) for name, value in event.items()
        }
        if len(orjson.dumps(short, default=str)) <= limit:
            return short
    base = {name: event[name] for name in ("timestamp", "level", "event", "logger") if name in event}
    return {name: _cut(str(value), limit // 16, mask_end) for name, value in base.items()}


def _lengths(limit: int) -> Iterator[tuple[int, int]]:
    """How long the event's own text and every other one may be: less and less."""
    for others in (limit // 4, limit // 16, limit // 64):
        yield limit * 3 // 4, others
    yield limit // 4, limit // 64


def _cut(value: Any, length: int, mask_end: MaskEnd) -> Any:
    if isinstance(value, str) and len(value) > length:
        return f"{mask_end(value[:length])} … ({len(value) - length:,} more characters cut)"
    if isinstance(value, list):
        if len(value) > _KEPT:
            value = [*value[: _KEPT // 2], *value[-_KEPT // 2 :]]
        return [_cut(item, length, mask_end) for item in value]
    if isinstance(value, dict):
        return {str(name): _cut(item, length, mask_end) for name, item in value.items()}
    return value
