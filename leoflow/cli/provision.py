"""Prepares this machine: the default environment, the UI's files, the embedded Postgres."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from leoflow.cli.database import embedded
from leoflow.config import Settings
from leoflow.db.binaries import Binaries
from leoflow.environments import DEFAULT_ENVIRONMENT, Environment, Progress, ensure
from leoflow.environments.airflow_ui import ensure_ui
from leoflow.os_errors import explain_os_error, private_directory


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What Lite needs and now has.

    Attributes:
        environment: the interpreter of projects without wishes of their own.
        ui_directory: the UI's files, `app` and `login` below it.
        postgres: the embedded server's programs; None where a database is configured.
    """

    environment: Environment
    ui_directory: Path
    postgres: Binaries | None


async def provision(settings: Settings, progress: Progress) -> Provisioned:
    """Make sure that everything Lite needs is there; quick when it is.

    Raises:
        LeoflowError: something cannot be had, with what to do.
    """
    with explain_os_error(settings.home):
        private_directory(settings.home)
    timeout = settings.environments.build_timeout_seconds
    postgres = asyncio.create_task(_prepare_postgres(settings, progress))
    try:
        environment = await ensure(DEFAULT_ENVIRONMENT, settings.home, progress, timeout=timeout)
        ui_directory = await ensure_ui(settings.home, progress, site_packages=environment.site_packages)
        return Provisioned(environment, ui_directory, await postgres)
    finally:
        postgres.cancel()
        await asyncio.gather(postgres, return_exceptions=True)


async def _prepare_postgres(settings: Settings, progress: Progress) -> Binaries | None:
    if settings.dsn is not None:
        return None
    found = await embedded(settings).prepare()
    progress(f"PostgreSQL {found.version} ({found.source}) is ready")
    return found
