"""Opens connection pools and single connections the way every process uses them."""

import asyncio
import os
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from leoflow.errors import UnreachableError

Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]
"""A pool of autocommit connections with tuple rows."""


def end_if_cancelled(before: int = 0) -> None:
    """Raise the cancellation that a library lost: `asyncio.wait_for` does before Python 3.12 when what it waits for
    comes in the same instant, and psycopg's and procrastinate's pools wait with it.

    Args:
        before: how often the task had been cancelled when the call began; a task that is ending may still make calls.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError


class _CancellablePool(AsyncConnectionPool[AsyncConnection[TupleRow]]):
    """Hands no connection to a task that was cancelled while it waited for one."""

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[TupleRow]:
        """Return a connection, as the pool does."""
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        connection = await super().getconn(timeout)
        try:
            end_if_cancelled(before)
        except asyncio.CancelledError:
            await self.putconn(connection)
            raise
        return connection


# A half-open connection is noticed within about half a minute instead of the kernel's two hours.
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}


async def open_pool(
    dsn: str,
    *,
    min_size: int = 1,
    max_size: int = 10,
    application_name: str = "leoflow",
    prepared_statements: bool = True,
    connect_timeout: int = 10,
) -> Pool:
    """Open a pool of autocommit connections whose time zone is UTC; the caller closes it.

    Raises:
        UnreachableError: the database cannot be reached or refuses the caller, said at once.
    """
    arguments = _arguments(application_name, connect_timeout, prepared_statements)
    probe = await connect(dsn, application_name=application_name, connect_timeout=connect_timeout)
    await probe.close()
    pool: Pool = _CancellablePool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        kwargs=arguments,
        configure=_configure,
        name=application_name,
        timeout=30,
        open=False,
    )
    await pool.open()
    return pool


async def connect(
    dsn: str, *, application_name: str = "leoflow", connect_timeout: int = 10
) -> AsyncConnection[TupleRow]:
    """Open one autocommit connection.

    Raises:
        UnreachableError: with the server's reason, never the password.
    """
    try:
        connection = await AsyncConnection.connect(dsn, **_arguments(application_name, connect_timeout, True))
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise unreachable(dsn, error) from error
    await _configure(connection)
    return connection


def _arguments(application_name: str, connect_timeout: int, prepared_statements: bool) -> dict[str, Any]:
    return {
        "autocommit": True,
        "application_name": application_name,
        "connect_timeout": connect_timeout,
        "prepare_threshold": 5 if prepared_statements else None,
        **_KEEPALIVE,
    }


async def _configure(connection: AsyncConnection[Any]) -> None:
    await connection.execute("set time zone 'UTC'")


def unreachable(dsn: str, error: Exception) -> UnreachableError:
    """The error a user sees when `dsn` cannot be connected to."""
    reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return UnreachableError(
        f"the database cannot be reached ({reason})",
        where=describe(dsn),
        hint="check LEOFLOW_DATABASE_URL, that the server runs, and that it accepts this user",
    )


def describe(dsn: str) -> str:
    """`dsn` for people: host, port, database and user, without password or options."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return "a database URL that cannot be parsed"
    host = parts.get("host") or os.environ.get("PGHOST") or "local socket"
    port = f":{parts['port']}" if parts.get("port") else ""
    user = f" as {parts['user']}" if parts.get("user") else ""
    return f"{host}{port}/{parts.get('dbname') or ''}{user}"
