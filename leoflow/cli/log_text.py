"""Structured log lines as text for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_SHOWN_ELSEWHERE = {
    "timestamp",
    "level",
    "event",
    "logger",
    "filename",
    "lineno",
    "error_detail",
    "ti_id",
    "dag_id",
    "run_id",
    "task_id",
    "map_index",
    "try_number",
}
_INDENT = "  "


def text_of(line: Mapping[str, Any]) -> str:
    """The event with what was logged beside it, and below it the traceback of an exception."""
    beside = [f"{name}={value}" for name, value in line.items() if name not in _SHOWN_ELSEWHERE and value is not None]
    details = line.get("error_detail")
    below = traceback_lines(details) if isinstance(details, list) else ()
    return "\n".join([" ".join([str(line.get("event", "")), *beside]), *below])


def traceback_lines(details: Sequence[Mapping[str, Any]], indent: str = _INDENT) -> Iterator[str]:
    """An exception and what led to it, the first one first, as Python prints them."""
    for number, error in reversed(list(enumerate(details))):
        for frame in error.get("frames") or ():
            yield f"{indent}{frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}"
        kind, *more = f"{error.get('exc_type')}: {error.get('exc_value')}".split("\n")
        yield f"{indent}{kind}"
        for text in [*more, *(error.get("exc_notes") or ())]:
            yield f"{indent}{text}"
        for member in error.get("exceptions") or ():
            yield from traceback_lines(member if isinstance(member, list) else [member], indent + _INDENT)
        if number:
            yield f"{indent}{'which caused' if error.get('is_cause') else 'and then, while it was handled'}:"
