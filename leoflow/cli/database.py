"""Which database a command works on."""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

import psycopg
import typer

from leoflow.config import Settings
from leoflow.db.embedded import EmbeddedPostgres

DatabaseOption = Annotated[
    str | None,
    typer.Option("--database-url", help="The database; default: LEOFLOW_DATABASE_URL, else the embedded one."),
]


def embedded(settings: Settings) -> EmbeddedPostgres:
    """The embedded server of this home."""
    return EmbeddedPostgres(settings.home, bin_dir=settings.postgres.bin_dir)


@contextlib.asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[str]:
    """The DSN to use. An embedded server that did not run is started, and stopped afterwards if nobody else uses it."""
    if settings.dsn is not None:
        yield settings.dsn
        return
    server = embedded(settings)
    was_running = server.running()
    dsn = await server.start()
    try:
        yield dsn
    finally:
        if not was_running and not _in_use(dsn):
            await server.stop()


def _in_use(dsn: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(dsn, connect_timeout=5) as connection:
        row = connection.execute(
            "select exists (select from pg_stat_activity"
            " where backend_type = 'client backend' and pid <> pg_backend_pid())"
        ).fetchone()
        return bool(row and row[0])
    return False
