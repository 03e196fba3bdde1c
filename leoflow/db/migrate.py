"""Brings a database to this program's schema: Alembic migrations, then the repeatable SQL objects.

Any number of processes may call `upgrade` at once: one works, the others wait on an advisory lock that lives in a
transaction of its own, so that neither a pooler nor a lost session leaves it behind.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, sql

from leoflow.db import repeatable
from leoflow.db.pool import describe, unreachable
from leoflow.errors import LeoflowError
from leoflow.share import share_dir

CORE_SCHEMA = "leoflow_core"
MINIMUM_SERVER_VERSION = 150000
_LOCK_KEY = 7_023_546_119_001  # any constant; this one means "leoflow migrations"


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """How a database compares with this program.

    Attributes:
        revision: the last applied migration, None for an empty database.
        wanted: the program's last migration.
        pending: migrations still to apply, oldest first.
        stale_objects: functions, views and roles files that are not yet applied in this text.
    """

    revision: str | None
    wanted: str
    pending: tuple[str, ...]
    stale_objects: tuple[str, ...]

    @property
    def current(self) -> bool:
        """True when nothing is to be done."""
        return not self.pending and not self.stale_objects


async def upgrade(dsn: str) -> SchemaStatus:
    """Apply everything that is missing and return what was missing.

    Raises:
        UnreachableError: no connection.
        LeoflowError: the server is too old, the schema is newer than the program, or a migration failed.
    """
    return await asyncio.to_thread(_upgrade, dsn)


async def check(dsn: str) -> SchemaStatus:
    """Compare without changing anything.

    Raises:
        UnreachableError: no connection.
        LeoflowError: the server is too old, or the schema is newer than the program.
    """
    return await asyncio.to_thread(_check, dsn)


async def require_current(dsn: str) -> None:
    """Raise a LeoflowError that says `leoflow db migrate` unless the schema is current."""
    status = await check(dsn)
    if not status.current:
        missing = (
            f"migrations {', '.join(status.pending)}" if status.pending else f"{len(status.stale_objects)} SQL objects"
        )
        raise LeoflowError(
            f"the database's schema is older than this program (missing: {missing})",
            where=describe(dsn),
            hint="run `leoflow db migrate`",
        )


async def downgrade(dsn: str, revision: str) -> None:
    """Undo migrations back to `revision` (`base` for all); the functions and views are dropped first.

    Raises:
        LeoflowError: unknown revision, or a migration on the way cannot be undone.
    """
    await asyncio.to_thread(_downgrade, dsn, revision)


def run_body(migration_file: str, direction: str = "up") -> None:
    """Execute the SQL beside a migration: `NNNN_name.sql`, or `NNNN_name.down.sql` for `down`.

    Called from the `upgrade`/`downgrade` of files in `migrations/versions/`.
    """
    file = Path(migration_file).with_suffix(".sql" if direction == "up" else ".down.sql")
    if not file.is_file():
        raise LeoflowError("this migration cannot be undone", where=file.stem.removesuffix(".down"))
    from alembic import op

    connection = op.get_bind().connection.dbapi_connection
    assert isinstance(connection, Connection)
    connection.execute(sql.SQL(file.read_text()))


@cache
def _revisions() -> tuple[str, ...]:
    """All migrations, oldest first. Read from the file names: Alembic is only loaded when there is work for it."""
    files = (share_dir("migrations") / "versions").glob("[0-9][0-9][0-9][0-9]_*.py")
    return tuple(sorted(file.name[:4] for file in files))


def _upgrade(dsn: str) -> SchemaStatus:
    with _locked(dsn) as connection:
        before = _status(connection)
        if before.pending:
            with _own_words(dsn):
                _run_alembic(dsn, "upgrade", "heads")
        if not before.current:
            with _own_words(dsn):
                repeatable.apply(connection)
        return before


def _downgrade(dsn: str, revision: str) -> None:
    with _locked(dsn) as connection:
        _status(connection)
        known = {*_revisions(), "base"}
        if revision not in known:
            raise LeoflowError("no such migration", where=revision, hint=f"one of {', '.join(sorted(known))}")
        repeatable.drop_all(connection)
        with _own_words(dsn):
            _run_alembic(dsn, "downgrade", revision)


def _run_alembic(dsn: str, direction: str, revision: str) -> None:
    from leoflow.db import alembic_runner

    alembic_runner.run(dsn, direction, revision, version_table_schema=CORE_SCHEMA)


def _check(dsn: str) -> SchemaStatus:
    with _connect(dsn) as connection:
        return _status(connection)


@contextlib.contextmanager
def _locked(dsn: str) -> Iterator[Connection[Any]]:
    """A second connection, while the first holds the lock in an open transaction."""
    with _connect(dsn) as guard, _connect(dsn) as connection:
        guard.execute("set idle_in_transaction_session_timeout = 0")
        with guard.transaction():
            guard.execute("select pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
            connection.execute(f"create schema if not exists {CORE_SCHEMA}")
            repeatable.prepare(connection)
            yield connection


def _connect(dsn: str) -> Connection[Any]:
    try:
        connection: Connection[Any] = psycopg.connect(
            dsn, autocommit=True, connect_timeout=10, application_name="leoflow-migrate"
        )
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise unreachable(dsn, error) from error
    connection.execute("set search_path = pg_catalog")
    if connection.info.server_version < MINIMUM_SERVER_VERSION:
        version = connection.info.server_version // 10000
        connection.close()
        raise LeoflowError(
            f"PostgreSQL {version} is too old", where=describe(dsn), hint="Leoflow needs PostgreSQL 15 to 18"
        )
    return connection


def _status(connection: Connection[Any]) -> SchemaStatus:
    known = _revisions()
    wanted = known[-1] if known else "base"
    applied = _applied_revision(connection)
    newer = repeatable.newer_program(connection)
    if (applied is not None and applied not in known) or newer is not None:
        raise LeoflowError(
            "the database's schema is newer than this program",
            where=f"migration {applied}" + (f", leoflow {newer}" if newer else ""),
            hint="update leoflow on this machine, or choose another database",
        )
    pending = known[known.index(applied) + 1 :] if applied else known
    return SchemaStatus(applied, wanted, tuple(pending), tuple(repeatable.stale(connection)))


def _applied_revision(connection: Connection[Any]) -> str | None:
    exists = connection.execute("select to_regclass('leoflow_core.alembic_version') is not null").fetchone()
    if not exists or not exists[0]:
        return None
    row = connection.execute("select version_num from leoflow_core.alembic_version").fetchone()
    return str(row[0]) if row else None


@contextlib.contextmanager
def _own_words(dsn: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise LeoflowError(
            f"migrating the database failed ({str(error).strip()})",
            where=describe(dsn),
            hint="what succeeded before stays; correct the cause and run `leoflow db migrate` again",
        ) from error
