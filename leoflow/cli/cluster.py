"""What the processes of a cluster have in common: settings, a current database, a pool, and a clean end."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from leoflow.config import Settings, load_settings
from leoflow.db import Pool, migrate, open_pool
from leoflow.errors import ExitCode, LeoflowError
from leoflow.secrets.rotation import seal_what_was_readable

Work = Callable[[Pool, str, Settings], Awaitable[None]]


def run_process(name: str, work: Work, **overrides: Any) -> None:
    """Run `work` until SIGINT or SIGTERM, or until it raises.

    Raises:
        LeoflowError: no database is configured, it cannot be reached, or its schema is not current.
    """
    from leoflow.cli.logs import configure_logging

    configure_logging(stream=sys.stdout)
    settings = _for_cluster(load_settings(**overrides))
    dsn = settings.dsn
    if dsn is None:
        raise LeoflowError(
            "no database is configured",
            hint="set LEOFLOW_DATABASE_URL; for one machine use `leoflow lite`",
            exit_code=ExitCode.USAGE,
        )
    asyncio.run(_run(name, work, dsn, settings))


def _for_cluster(settings: Settings) -> Settings:
    """Give tasks no more connections and variables than their projects declare, unless told otherwise."""
    access = settings.secrets.access or "declared"
    return settings.model_copy(update={"secrets": settings.secrets.model_copy(update={"access": access})})


async def _run(name: str, work: Work, dsn: str, settings: Settings) -> None:
    from leoflow.lite.stopping import stop_on_signals

    async with stop_on_signals(lambda: None, lambda: None):
        await migrate.require_current(dsn)
        pool = await open_pool(
            dsn,
            max_size=settings.postgres.pool_max_size,
            connect_timeout=settings.postgres.connect_timeout_seconds,
            prepared_statements=settings.postgres.prepared_statements,
            application_name=f"leoflow-{name}",
        )
        try:
            async with pool.connection() as connection:
                await seal_what_was_readable(connection, settings.home)
            await work(pool, dsn, settings)
        finally:
            await pool.close()
