"""`leoflow db`: the schema, the address and the contents of the database."""

import asyncio
import os
import shutil
import sys
from typing import Annotated, Any

import typer
from psycopg.conninfo import conninfo_to_dict

from leoflow.cli.database import DatabaseOption, database, embedded
from leoflow.cli.output import Output, OutputOption, print_document
from leoflow.config import Settings, load_settings
from leoflow.crypto import KEY_FILE
from leoflow.db import binaries, migrate
from leoflow.db.pool import connect, describe
from leoflow.errors import ExitCode, LeoflowError
from leoflow.secrets import rotation

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The database: migrate, check, downgrade, url, shell, clean, rotate-key.",
)

_ENVIRONMENT = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}


@app.command("migrate", epilog="Example: leoflow db migrate --database-url postgresql://me@localhost/leoflow")
def migrate_(database_url: DatabaseOption = None) -> None:
    """Bring the database to this program's schema. Safe to run at any time, by any number of processes."""
    settings = load_settings(database_url=database_url)

    async def run() -> migrate.SchemaStatus:
        async with database(settings) as dsn:
            return await migrate.upgrade(dsn)

    before = asyncio.run(run())
    if before.current:
        print("the schema is current", file=sys.stderr)
        return
    done = [f"migrations {', '.join(before.pending)}"] if before.pending else []
    done += [f"{len(before.stale_objects)} files of functions and views"] if before.stale_objects else []
    print(f"applied {' and '.join(done)}", file=sys.stderr)


@app.command(epilog="Example: leoflow db check --output json")
def check(output: OutputOption = Output.TABLE, database_url: DatabaseOption = None) -> None:
    """Say whether the schema is current; exit code 1 when it is not."""
    settings = load_settings(database_url=database_url)

    async def run() -> tuple[str, migrate.SchemaStatus]:
        async with database(settings) as dsn:
            return describe(dsn), await migrate.check(dsn)

    where, status = asyncio.run(run())
    document: dict[str, Any] = {
        "database": where,
        "current": status.current,
        "revision": status.revision,
        "wanted_revision": status.wanted,
        "pending_migrations": list(status.pending),
        "stale_objects": list(status.stale_objects),
    }
    if output is not Output.TABLE:
        print_document(document, output)
    elif status.current:
        print(f"{where}: the schema is current (revision {status.revision})")
    if not status.current and output is Output.TABLE:
        raise LeoflowError(
            f"the schema is not current (revision {status.revision}, wanted {status.wanted}, "
            f"{len(status.stale_objects)} files of functions and views differ)",
            where=where,
            hint="run `leoflow db migrate`",
        )
    if not status.current:
        raise typer.Exit(ExitCode.FAILED)


@app.command(epilog="Example: leoflow db downgrade 0001 --yes")
def downgrade(
    revision: Annotated[str, typer.Argument(help="The migration to go back to, or base for an empty database.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Undo migrations, losing what they hold."""
    settings = load_settings(database_url=database_url)

    async def run() -> None:
        async with database(settings) as dsn:
            if not yes:
                typer.confirm(
                    f"Undo migrations of {describe(dsn)} back to {revision}, losing data?", abort=True, err=True
                )
            await migrate.downgrade(dsn, revision)

    asyncio.run(run())


@app.command(epilog="Example: psql $(leoflow db url)")
def url(database_url: DatabaseOption = None) -> None:
    """Print the DSN in use, password included."""
    settings = load_settings(database_url=database_url)
    server = embedded(settings)
    if settings.dsn is None and not server.running():
        print("the embedded Postgres does not run now; `leoflow lite` starts it", file=sys.stderr)
    print(settings.dsn or server.dsn)


@app.command(epilog="Example: leoflow db shell")
def shell(database_url: DatabaseOption = None) -> None:
    """Open psql on the database, with all rights."""
    settings = load_settings(database_url=database_url)
    if settings.dsn is None and not embedded(settings).running():
        raise LeoflowError(
            "the embedded Postgres does not run", hint="start it with `leoflow lite`", exit_code=ExitCode.UNREACHABLE
        )
    parts = {name: str(value) for name, value in conninfo_to_dict(settings.dsn or embedded(settings).dsn).items()}
    # Through the environment: a password on a command line can be read by everyone on the machine.
    environment = {_ENVIRONMENT[name]: value for name, value in parts.items() if name in _ENVIRONMENT}
    rest = " ".join(f"{name}='{value}'" for name, value in parts.items() if name not in _ENVIRONMENT)
    program = _psql(settings)
    os.execve(program, [program, *([rest] if rest else [])], {**os.environ, **environment})


@app.command("rotate-key", epilog="Example: leoflow db rotate-key")
def rotate_key(
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only put the next key into the file, to copy it to other machines first.")
    ] = False,
    forget_old: Annotated[
        bool, typer.Option("--forget-old", help="Remove the old keys; backups made with them cannot be read then.")
    ] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Encrypt all variables and connections with a new key. May be interrupted, and run again to complete it."""
    settings = load_settings(database_url=database_url)
    if prepare:
        rotation.prepare(settings.home)
        print(f"the next key is in {settings.home / KEY_FILE}; copy the file, then rotate", file=sys.stderr)
        return

    async def run() -> rotation.Rotated | int:
        async with database(settings) as dsn:
            await migrate.require_current(dsn)
            connection = await connect(dsn, application_name="leoflow-rotate-key")
            async with connection:
                if forget_old:
                    return await rotation.forget_old_keys(connection, settings.home)
                return await rotation.rotate(connection, settings.home)

    done = asyncio.run(run())
    if isinstance(done, int):
        print(f"forgot {done} old keys", file=sys.stderr)
        return
    how = "with a new key" if done.new_key else "with the key of the rotation that was interrupted"
    print(f"encrypted {done.resealed} variables and connections {how}", file=sys.stderr)
    print(
        f"{done.old_keys} old keys still read backups; remove them with `leoflow db rotate-key --forget-old`",
        file=sys.stderr,
    )


@app.command(epilog="Example: leoflow db clean --keep-days 30")
def clean(
    keep_days: Annotated[float, typer.Option(min=0, help="Finished runs younger than this stay.")] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Delete finished runs, their XComs and their logs, in batches."""
    settings = load_settings(database_url=database_url)

    async def run() -> int:
        async with database(settings) as dsn:
            await migrate.require_current(dsn)
            if not yes:
                question = f"Delete runs that finished more than {keep_days:g} days ago from {describe(dsn)}?"
                typer.confirm(question, abort=True, err=True)
            return await _clean(dsn, keep_days)

    print(f"deleted {asyncio.run(run())} runs", file=sys.stderr)


async def _clean(dsn: str, keep_days: float) -> int:
    connection = await connect(dsn, application_name="leoflow-clean")
    deleted = 0
    try:
        while True:
            cursor = await connection.execute(
                "select leoflow_core.retain(make_interval(secs => %s), 1000)", (keep_days * 86_400,)
            )
            row = await cursor.fetchone()
            batch = int(row[0]) if row and row[0] else 0
            deleted += batch
            if batch == 0:
                return deleted
    finally:
        await connection.close()


def _psql(settings: Settings) -> str:
    own = [found.program("psql") for found in binaries.candidates(settings.postgres.bin_dir)]
    for program in (shutil.which("psql"), *own):
        if program and os.access(program, os.X_OK):
            return program
    raise LeoflowError("psql is not installed", hint="apt-get install postgresql-client")
