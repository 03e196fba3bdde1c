"""Collects the log lines and rendered fields of all attempts and writes them to the database in batches."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from leoflow import engine
from leoflow.db import Pool
from leoflow.db.retry import is_transient
from leoflow.engine import ClaimedAttempt, LogChunk, Rendered

log = structlog.get_logger(__name__)

_INTERVAL = 0.2
_FLUSH_BYTES = 1024 * 1024
_BATCH_BYTES = 4 * 1024 * 1024
_MAX_PENDING_BYTES = 128 * 1024 * 1024


@dataclass(slots=True)
class _Pending:
    claimed: ClaimedAttempt
    lines: list[bytes] = field(default_factory=list)
    is_last: bool = False


class LogShipper:
    """Buffers lines by attempt; `run` writes them about five times a second, or sooner when much has come."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._pending: dict[UUID, _Pending] = {}
        self._rendered: dict[UUID, Rendered] = {}
        self._bytes = 0
        self._soon = asyncio.Event()
        self._full = asyncio.Event()
        self._writing = asyncio.Lock()
        self._lost = 0

    def emitter(self, claimed: ClaimedAttempt) -> Callable[[bytes], None]:
        """Return the function that takes the lines of one attempt."""

        def emit(line: bytes) -> None:
            self._add(claimed, line)

        return emit

    def ender(self, claimed: ClaimedAttempt) -> Callable[[], None]:
        """Return the function that says that the lines of one attempt have all come."""

        def end() -> None:
            self._of(claimed).is_last = True
            self._soon.set()

        return end

    def render(self, rendered: Rendered | None) -> None:
        """Take the rendered fields of an attempt; what it had sent before and is not written yet is merged."""
        if rendered is None:
            return
        before = self._rendered.get(rendered.attempt.attempt_id)
        if before is not None:
            rendered = Rendered(
                rendered.attempt,
                rendered.fields or before.fields,
                rendered.label or before.label,
                rendered.pid or before.pid,
            )
        self._rendered[rendered.attempt.attempt_id] = rendered
        self._soon.set()

    async def run(self) -> None:
        """Ship until cancelled."""
        while True:
            await self._soon.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL):
                    await self._full.wait()
            if not await self._flush_once():
                await asyncio.sleep(1.0)

    async def flush_now(self) -> None:
        """Write one batch of what has come so far."""
        await self._flush_once()

    async def flush(self) -> None:
        """Write everything that has come so far; gives up when the database refuses."""
        while self._pending or self._rendered:
            if not await self._flush_once():
                return

    def _add(self, claimed: ClaimedAttempt, line: bytes) -> None:
        if self._bytes > _MAX_PENDING_BYTES:
            self._lost += 1
            return
        self._of(claimed).lines.append(line)
        self._bytes += len(line)
        self._soon.set()
        if self._bytes >= _FLUSH_BYTES:
            self._full.set()

    def _of(self, claimed: ClaimedAttempt) -> _Pending:
        pending = self._pending.get(claimed.attempt_id)
        if pending is None:
            pending = self._pending[claimed.attempt_id] = _Pending(claimed)
        return pending

    async def _flush_once(self) -> bool:
        async with self._writing:
            taken = self._take()
            rendered, self._rendered = self._rendered, {}
            try:
                await self._write([*map(_chunk, taken), *rendered.values()])
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("log lines not written, trying again", error=str(error), attempts=len(taken))
                self._put_back(taken)
                self._rendered = {**rendered, **self._rendered}
                return False
            if self._lost:
                log.error("log lines lost while the database was away", lines=self._lost)
                self._lost = 0
            return True

    async def _write(self, entries: Sequence[LogChunk | Rendered]) -> None:
        """Write a batch; if the database cannot take an entry, all but that one.

        Raises:
            psycopg.Error: the database is away; nothing was written.
        """
        if not entries:
            return
        chunks = [entry for entry in entries if isinstance(entry, LogChunk)]
        rendered = [entry for entry in entries if isinstance(entry, Rendered)]
        try:
            async with self._pool.connection() as connection:
                await engine.record_output(connection, chunks, rendered, hostname=socket.gethostname())
        except psycopg.Error as error:
            if is_transient(error):
                raise
            if len(entries) == 1:
                log.error("the database does not take this part of an attempt's log", error=str(error))
                return
            for entry in entries:
                await self._write([entry])

    def _take(self) -> list[_Pending]:
        taken: list[_Pending] = []
        size = 0
        for attempt_id in list(self._pending):
            pending = self._pending.pop(attempt_id)
            taken.append(pending)
            size += sum(map(len, pending.lines))
            if size > _BATCH_BYTES:
                break
        self._bytes -= size
        if not self._pending:
            self._soon.clear()
            self._full.clear()
        return taken

    def _put_back(self, taken: list[_Pending]) -> None:
        for pending in taken:
            newer = self._of(pending.claimed)
            newer.lines[:0] = pending.lines
            newer.is_last |= pending.is_last
            self._bytes += sum(map(len, pending.lines))
        self._soon.set()


def _chunk(pending: _Pending) -> LogChunk:
    claimed = pending.claimed
    return LogChunk(
        run_key=claimed.run_key,
        task_idx=claimed.task_idx,
        map_index=claimed.map_index,
        try_number=claimed.try_number,
        attempt_id=claimed.attempt_id,
        lines=b"\n".join([*pending.lines, b""]).decode("utf-8", errors="replace"),
        line_count=len(pending.lines),
        is_last=pending.is_last,
    )
