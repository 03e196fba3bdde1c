"""How answers are written: JSON, newline-delimited JSON, and timestamps exactly as Airflow writes them.

Timestamps are ISO 8601 in UTC with `Z`, microseconds when there are any: `2026-11-22T14:07:19.603393Z`.
The UI compares some of them as strings, so every answer goes through here.
"""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import Response
from fastapi.responses import StreamingResponse

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS

NDJSON = "application/x-ndjson"


def timestamp(value: datetime) -> str:
    """Write an aware time as Airflow's API does: UTC with `Z`.

    >>> timestamp(datetime(2026, 11, 22, 3, tzinfo=UTC))
    '2026-11-22T03:00:00Z'
    """
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def dumps(value: Any) -> bytes:
    """Encode plain data (dicts, lists, aware datetimes, UUIDs, `orjson.Fragment`) as JSON bytes."""
    return orjson.dumps(_utc(value), option=_OPTIONS)


def _utc(value: Any) -> Any:
    """Move datetimes to UTC (the driver yields the session's zone, which orjson would write as an offset)."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, dict):
        return {key: _utc(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_utc(item) for item in value]
    return value


class JsonResponse(Response):
    """A JSON answer made from plain data, without a pydantic model in between."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return dumps(content)


class NdjsonResponse(StreamingResponse):
    """One JSON document per line, sent as they become available."""

    def __init__(self, items: AsyncIterator[Any] | Iterable[Any], status_code: int = 200) -> None:
        super().__init__(_lines(items), status_code=status_code, media_type=NDJSON)


async def _lines(items: AsyncIterator[Any] | Iterable[Any]) -> AsyncIterator[bytes]:
    if isinstance(items, AsyncIterator):
        async for item in items:
            yield dumps(item) + b"\n"
    else:
        for item in items:
            yield dumps(item) + b"\n"
