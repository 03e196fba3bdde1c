"""LISTEN on a connection of its own, which comes back by itself after any loss."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psycopg
import structlog
from psycopg import AsyncConnection, sql

from leoflow.db.pool import connect
from leoflow.errors import UnreachableError

_HEALTH_SECONDS = 30.0
_BACKLOG = 10_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Notification:
    """One NOTIFY; `payload` is empty when a reconnect made this up, because some may have been missed."""

    channel: str
    payload: str


class Listener:
    """Collects the notifications of some channels for one waiter.

    Notifications are hints: after every reconnect each channel gets one with an empty payload, and when the waiter
    falls far behind only that one is kept. So a waiter that looks at the tables on every wake-up, and now and then
    without one, misses nothing.
    """

    def __init__(self, dsn: str, channels: Sequence[str], *, application_name: str = "leoflow-listener") -> None:
        self._dsn = dsn
        self._channels = tuple(channels)
        self._application_name = application_name
        self._pending: list[Notification] = []
        self._arrived = asyncio.Event()
        self._listening = asyncio.Event()
        self._connection: AsyncConnection | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start listening; returns once the first LISTEN is in force.

        Raises:
            UnreachableError: the database cannot be reached now.
        """
        self._connection = await self._open()
        self._task = asyncio.create_task(self._run(), name=f"listen {','.join(self._channels)}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and close the connection."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._close()

    @property
    def connected(self) -> bool:
        """True while LISTEN is in force."""
        return self._listening.is_set()

    def wake(self) -> None:
        """Wake the waiter from inside this process."""
        self._arrived.set()

    async def wait(self, timeout: float | None = None) -> list[Notification]:
        """Everything that arrived since the last call; waits for something up to `timeout` seconds.

        Returns an empty list after the time-out or a bare `wake()`.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._arrived.wait()
        self._arrived.clear()
        taken, self._pending = self._pending, []
        return taken

    async def _open(self) -> AsyncConnection:
        connection = await connect(self._dsn, application_name=self._application_name)
        try:
            for channel in self._channels:
                await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        except BaseException:
            await connection.close()
            raise
        self._listening.set()
        return connection

    async def _close(self) -> None:
        self._listening.clear()
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _run(self) -> None:
        delay = 0.05
        while True:
            try:
                if self._connection is None:
                    self._connection = await self._open()
                    self._push_all_channels()
                    log.info("listening again", channels=self._channels)
                delay = 0.05
                await self._collect(self._connection)
            except (psycopg.Error, UnreachableError, OSError) as error:
                log.warning("listener lost its connection", channels=self._channels, error=str(error))
            await self._close()
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2.0)

    async def _collect(self, connection: AsyncConnection) -> None:
        await self._take(connection, timeout=0)
        while True:
            if await _is_readable(connection, _HEALTH_SECONDS):
                await self._take(connection, timeout=1)
                continue
            # Nothing for a while: ask, so that a half-open connection is noticed.
            async with asyncio.timeout(_HEALTH_SECONDS):
                await connection.execute("select 1")
            await self._take(connection, timeout=0)

    async def _take(self, connection: AsyncConnection, timeout: float) -> None:
        """Take what has arrived; `timeout` bounds the wait for the rest of a notification of which a part is there."""
        async for notify in connection.notifies(timeout=timeout, stop_after=1):
            self._push(Notification(notify.channel, notify.payload))

    def _push(self, notification: Notification) -> None:
        if len(self._pending) >= _BACKLOG:
            self._pending.clear()
            self._push_all_channels()
        self._pending.append(notification)
        self._arrived.set()

    def _push_all_channels(self) -> None:
        self._pending.extend(Notification(channel, "") for channel in self._channels)
        self._arrived.set()


async def _is_readable(connection: AsyncConnection, seconds: float) -> bool:
    """Wait until the server has sent something. psycopg's own wait would wake up ten times a second meanwhile."""
    loop, descriptor = asyncio.get_running_loop(), connection.fileno()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(seconds):
            await readable.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True
