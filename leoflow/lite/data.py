"""The database of a Lite: our own server or the user's, brought to this program's schema."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Protocol, TypeVar

import structlog

from leoflow.config import Settings
from leoflow.db import Pool, migrate, open_pool
from leoflow.db.embedded import EmbeddedPostgres
from leoflow.secrets.rotation import seal_what_was_readable

T = TypeVar("T")

LOOK_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Step(Protocol):
    """Told in a few words what begins."""

    def __call__(self, text: str, /) -> None:
        """Say it."""


@contextlib.asynccontextmanager
async def database(
    settings: Settings, postgres: EmbeddedPostgres | None, step: Step, *, application_name: str = "leoflow-lite"
) -> AsyncIterator[tuple[str, Pool]]:
    """A migrated database and a pool on it. An embedded server is stopped in the end, however far it had started."""
    step("database")
    try:
        dsn = await _uninterrupted(postgres.start()) if postgres is not None else settings.dsn
        assert dsn is not None, "either a database or a server of our own"
        await _uninterrupted(migrate.upgrade(dsn))
        pool = await open_pool(
            dsn,
            max_size=settings.postgres.pool_max_size,
            connect_timeout=settings.postgres.connect_timeout_seconds,
            prepared_statements=settings.postgres.prepared_statements,
            application_name=application_name,
        )
        try:
            async with pool.connection() as connection:
                await seal_what_was_readable(connection, settings.home)
            yield dsn, pool
        finally:
            await pool.close()
    finally:
        if postgres is not None:
            await _uninterrupted(postgres.stop())


async def keep_server(postgres: EmbeddedPostgres) -> None:
    """Start the server again whenever it has gone, until cancelled.

    Raises:
        LeoflowError: it cannot start now, the disk is full for instance; the caller tries again later.
    """
    while True:
        if not await asyncio.to_thread(postgres.running):
            log.warning("PostgreSQL has ended, starting it again", data=str(postgres.data_dir))
            await _uninterrupted(postgres.start())
        await asyncio.sleep(LOOK_SECONDS)


async def _uninterrupted(operation: Coroutine[Any, Any, T]) -> T:
    """Await work that goes on in a thread whatever we do: a cancellation waits until it is over."""
    task = asyncio.ensure_future(operation)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
