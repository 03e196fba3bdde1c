"""A real Postgres for tests, and a database of its own for each.

Order: `LEOFLOW_TEST_DATABASE_URL` (a user who may create databases), the embedded server, a container. The embedded
server is shared by all test processes of this user, workers and check-outs alike; the last one to end stops it and
removes its data.
"""

import asyncio
import contextlib
import fcntl
import getpass
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from leoflow.db import migrate
from leoflow.db.embedded import EmbeddedPostgres
from leoflow.errors import LeoflowError
from leoflow.share import share_dir

_TEMPLATE_LOCK = 7_023_546_119_002
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum_naptime": "10s",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "1h",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A Postgres server that tests may create databases on."""

    admin_dsn: str

    def dsn(self, database: str) -> str:
        """How to connect to one database of it."""
        return make_conninfo(self.admin_dsn, dbname=database)

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The DSN of a new database, dropped afterwards with everyone in it."""
        name = f"leoflow_test_{uuid.uuid4().hex[:16]}"
        with self._admin() as admin:
            # file_copy would force a checkpoint of everything other tests do.
            admin.execute(
                sql.SQL("create database {} template {} strategy wal_log").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        try:
            yield self.dsn(name)
        finally:
            with self._admin() as admin:
                admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def migrated_template(self) -> str:
        """The name of a database with this check-out's schema, made once per text of the SQL.

        `LEOFLOW_TEST_TEMPLATE` names another one, for `tools/mutate_sql.py`.
        """
        if given := os.environ.get("LEOFLOW_TEST_TEMPLATE"):
            return given
        name = f"leoflow_template_{_sql_digest()}"
        with self._admin() as admin:
            admin.execute("select pg_advisory_lock(%s)", (_TEMPLATE_LOCK,))
            if admin.execute("select 1 from pg_database where datname = %s", (name,)).fetchone() is None:
                self._make_template(admin, name)
        return name

    def _make_template(self, admin: psycopg.Connection, name: str) -> None:
        building = f"{name}_new"
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(building)))
        admin.execute(sql.SQL("create database {} template template0").format(sql.Identifier(building)))
        asyncio.run(migrate.upgrade(self.dsn(building)))
        admin.execute(sql.SQL("alter database {} rename to {}").format(sql.Identifier(building), sql.Identifier(name)))

    def _admin(self) -> psycopg.Connection:
        return psycopg.connect(self.admin_dsn, autocommit=True)


@contextlib.contextmanager
def postgres_server() -> Iterator[Server]:
    """The server of this test session."""
    if given := os.environ.get("LEOFLOW_TEST_DATABASE_URL"):
        yield Server(given)
        return
    try:
        with _embedded() as dsn:
            yield Server(dsn)
    except LeoflowError as error:
        if "no PostgreSQL" not in error.what:
            raise
        with _container() as dsn:
            yield Server(dsn)


@contextlib.contextmanager
def _embedded() -> Iterator[str]:
    home = Path(tempfile.gettempdir()) / f"leoflow-tests-{getpass.getuser()}"
    home.mkdir(mode=0o700, exist_ok=True)
    bin_dir = os.environ.get("LEOFLOW_POSTGRES__BIN_DIR")
    if bin_dir:
        home = home / hashlib.sha256(bin_dir.encode()).hexdigest()[:8]
        home.mkdir(mode=0o700, exist_ok=True)
    server = EmbeddedPostgres(home, bin_dir=Path(bin_dir) if bin_dir else None, settings=_SETTINGS)
    with (home / "users.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        dsn = asyncio.run(server.start())
        try:
            yield make_conninfo(dsn, dbname="postgres")
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            with contextlib.suppress(BlockingIOError):  # someone else still uses it
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                asyncio.run(server.stop())
                shutil.rmtree(server.data_dir)


@contextlib.contextmanager
def _container() -> Iterator[str]:
    from testcontainers.postgres import PostgresContainer

    with PostgresContainer("postgres:18", driver=None) as container:
        yield container.get_connection_url()


def _sql_digest() -> str:
    digest = hashlib.sha256()
    for name in ("migrations", "sql"):
        root = share_dir(name)
        for file in sorted([*root.rglob("*.sql"), *root.rglob("*.py")]):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def database_name(dsn: str) -> str:
    """The database a DSN names."""
    return str(conninfo_to_dict(dsn)["dbname"])
