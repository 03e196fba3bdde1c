"""Logs of attempts, as one JSON document or line by line, followed with continuation tokens.

A token carries the last chunk read, so that the next request gets only what came later; it is absent once the try has
ended and everything was sent. Airflow's UI reads once more after the end and then no more: a request that comes before
the last lines are written waits for them a moment.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import orjson
import structlog
from fastapi import APIRouter, Header, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from leoflow.api.deps import ApiState, Conn, State, Viewer
from leoflow.api.encoding import NDJSON
from leoflow.api.public import store
from leoflow.api.public.criteria import Small
from leoflow.api.public.task_tries import tries
from leoflow.db import queries
from leoflow.log_store import LogStore, StoreError, object_name

SQL = queries.load("api_logs")
log = structlog.get_logger(__name__)
router = APIRouter(prefix="/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances", tags=["Task Instance"])

CHUNKS_PER_READ = 200
BYTES_PER_READ = 1 << 20
CHUNKS_PER_ANSWER = 2000
_PIECE = 1 << 16
LAST_LINES_SECONDS = 1.0
"""How long a request waits for the last lines of a try that has ended."""
_LOOK_SECONDS = 0.05
_ACTIVE = ("queued", "running", "restarting", "deferred", "up_for_reschedule")
_NEVER_RAN = {
    "upstream_failed": "Task did not run because upstream task(s) failed.",
    "skipped": "Task was skipped.",
    "removed": "Task was removed from its run.",
}


class StructuredLogMessage(BaseModel, extra="allow"):
    """One line of a log."""

    timestamp: datetime | None = None
    event: str


class TaskInstancesLogResponse(BaseModel):
    """A log, or the part of it that came since the last request."""

    content: list[StructuredLogMessage] | list[str]
    continuation_token: str | None


class ExternalLogUrlResponse(BaseModel):
    """Where a log is kept outside."""

    url: str


@router.get(
    "/{task_id}/logs/{try_number}",
    response_model=TaskInstancesLogResponse,
    responses={200: {"content": {NDJSON: {"schema": {"type": "string"}}}}},
)
async def get_log(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    try_number: Annotated[int, Field(ge=0, lt=2**31)],
    conn: Conn,
    state: State,
    _: Viewer,
    full_content: bool = False,
    map_index: Small = -1,
    token: str | None = None,
    accept: Annotated[str, Header()] = "*/*",
) -> Any:
    """Read the log of a try; `Accept: application/x-ndjson` streams it line by line."""
    found = await tries(conn, dag_id, dag_run_id, task_id, map_index, try_number)
    if not found:
        raise HTTPException(404, "TaskInstance not found")
    attempt = found[-1]
    after = _decode(token)
    is_complete = await _is_complete(conn, attempt)
    if NDJSON in accept:
        headers = {} if is_complete else await _continuation_header(conn, attempt, after)
        return StreamingResponse(_pieces(_stream(_Reader(state, attempt, after))), media_type=NDJSON, headers=headers)
    reader = _Reader(state, attempt, after, limit=None if full_content else CHUNKS_PER_ANSWER)
    document = _document(reader, is_complete=is_complete)
    return StreamingResponse(_pieces(document), media_type="application/json")


@router.get("/{task_id}/externalLogUrl/{try_number}", response_model=ExternalLogUrlResponse)
async def get_external_log_url(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    try_number: Annotated[int, Field(gt=0, lt=2**31)],
    _: Viewer,
    map_index: Small = -1,
) -> Any:
    """Refuse: logs are in Postgres, there is no other place to look at."""
    raise HTTPException(400, "Task log handler does not support external logs.")


async def _is_complete(conn: Conn, attempt: store.Row) -> bool:
    """Whether no more lines can come for a try; waits a moment for those that are under way."""
    if not _has_ended(attempt):
        return False
    deadline = time.monotonic() + LAST_LINES_SECONDS
    while await store.value(conn, SQL.is_open, attempt):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
    return True


def _has_ended(attempt: store.Row) -> bool:
    """Whether a try is over."""
    return attempt["state"] not in _ACTIVE and (attempt["end_date"] is not None or attempt["state"] is not None)


def _encode(seq: int) -> str:
    return base64.urlsafe_b64encode(str(seq).encode()).rstrip(b"=").decode()


def _decode(token: str | None) -> int:
    if not token:
        return 0
    try:
        seq = int(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError) as error:
        raise HTTPException(400, "Bad Signature. Please use only the tokens provided by the API.") from error
    if not 0 <= seq < 2**63:
        raise HTTPException(400, "Bad Signature. Please use only the tokens provided by the API.")
    return seq


async def _continuation_header(conn: Conn, attempt: store.Row, after: int) -> dict[str, str]:
    """The token of a stream is sent ahead of it: it names the last chunk there is now, where the stream ends."""
    last = await store.value(conn, SQL.last_chunk, attempt)
    attempt["until"] = max(last or 0, after)
    return {"Airflow-Continuation-Token": _encode(attempt["until"])}


class _Reader:
    """Reads the chunks of a try after a position, page by page.

    Neither a long log nor a slow client costs much: a page is about a megabyte, and each is read with a connection of
    its own.

    Args:
        limit: read so many chunks at most; None: all.
    """

    def __init__(self, state: ApiState, attempt: store.Row, after: int, limit: int | None = None) -> None:
        self.attempt = attempt
        self.is_first = after == 0
        self.last = after
        """The position of the last chunk read so far."""
        self.is_limited = False
        """True when it stopped at the limit: there may be more."""
        self._state = state
        self._limit = limit

    async def chunks(self) -> AsyncIterator[str]:
        """Yield the text of each chunk; of a log the database has no more, that of its copy."""
        is_empty = True
        while page := await self._page():
            is_empty = False
            for _, lines in page:
                yield lines
            self.is_limited = self._limit == 0
            if self.is_limited:
                return
        if is_empty and self.is_first:
            async for piece in _copy(self._state.log_store, self.attempt):
                yield piece

    async def _page(self) -> list[tuple[int, str]]:
        count = CHUNKS_PER_READ if self._limit is None else min(CHUNKS_PER_READ, self._limit)
        place = {"until": None, **self.attempt, "after": self.last, "limit": count, "bytes": BYTES_PER_READ}
        async with self._state.pool.connection() as conn:
            found = await store.rows(conn, SQL.chunks, place)
        page = [(row["seq"], row["lines"]) for row in found]
        if page:
            self.last = page[-1][0]
        if self._limit is not None:
            self._limit -= len(page)
        return page


async def _copy(copies: LogStore | None, attempt: store.Row) -> AsyncIterator[str]:
    """Read the copy of a log the database has no more, in pieces of whole lines."""
    if copies is None or not _has_ended(attempt):
        return
    names = ("dag_id", "dag_run_id", "task_id", "map_index", "try_number")
    rest = b""
    try:
        found = await copies.read(object_name(*(attempt[name] for name in names)))
        if found is not None:
            async for piece in found:
                *whole, rest = (rest + piece).rsplit(b"\n", 1)
                yield b"".join(whole).decode("utf-8", "replace")
    except StoreError as error:
        log.warning("copy of a log not read", error=str(error))
        yield orjson.dumps({"event": f"The copy of this log cannot be read: {error}", "level": "error"}).decode()
    yield rest.decode("utf-8", "replace")


async def _stream(reader: _Reader) -> AsyncIterator[bytes]:
    async for line in _decorated(reader):
        # Only here Airflow names the time of lines that have none.
        yield (line if b'"timestamp":' in line else b'{"timestamp":null,' + line[1:]) + b"\n"


async def _document(reader: _Reader, *, is_complete: bool) -> AsyncIterator[bytes]:
    yield b'{"content":['
    separator = b""
    async for line in _decorated(reader):
        yield separator + line
        separator = b","
    ended = is_complete and not reader.is_limited
    yield b'],"continuation_token":' + orjson.dumps(None if ended else _encode(reader.last)) + b"}"


async def _pieces(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join small parts: a message to the client for every line would cost more than the line."""
    piece = bytearray()
    async for part in parts:
        piece += part
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


async def _decorated(reader: _Reader) -> AsyncIterator[bytes]:
    """Yield log lines as JSON objects, headed by where they come from; never nothing for a try that did not run."""
    attempt = reader.attempt
    if reader.is_first:
        for event in ("::group::Log message source details", _source(attempt), "::endgroup::"):
            yield orjson.dumps({"event": event})
    some = False
    async for chunk in reader.chunks():
        for text in chunk.split("\n"):  # not splitlines: a line may hold U+2028 and the like
            if text.strip():
                some = True
                yield _line(text)
    if reader.is_first and not some:
        reason = _NEVER_RAN.get(attempt["state"] or "")
        if reason:
            yield orjson.dumps({"event": reason})


def _line(text: str) -> bytes:
    """Make sure that a line is an object with a text `event`: one bad line must not hide the log."""
    try:
        line = orjson.loads(text)
    except orjson.JSONDecodeError:
        return orjson.dumps({"event": text})
    if not isinstance(line, dict):
        return orjson.dumps({"event": text})
    event = line.get("event", "")
    return orjson.dumps({**line, "event": event if isinstance(event, str) else str(event)})


def _source(attempt: store.Row) -> str:
    host = f" on {attempt['hostname']}" if attempt["hostname"] else ""
    return f"leoflow.task_logs, run_key {attempt['run_key']}, try {attempt['try_number']}{host}"
