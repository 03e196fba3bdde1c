"""Fixtures for every test: asyncio as anyio's backend, and a real Postgres.

`database_url` is a migrated database of the test's own, `empty_database_url` one without any schema; `pool` and
`connection` are open on the former. `home` is a LEOFLOW_HOME of the test's own.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from psycopg import AsyncConnection

from leoflow.db.pool import Pool, connect, open_pool
from tests.support.postgres import Server, postgres_server


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command under test sends logs to the standard error of its test, which is closed afterwards."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with postgres_server() as found:
        yield found


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    return server.migrated_template()


@pytest.fixture
def database_url(server: Server, template: str) -> Iterator[str]:
    with server.database(template) as dsn:
        yield dsn


@pytest.fixture
def empty_database_url(server: Server) -> Iterator[str]:
    with server.database() as dsn:
        yield dsn


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_url, max_size=8)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[AsyncConnection]:
    opened = await connect(database_url)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "home"
    monkeypatch.setenv("LEOFLOW_HOME", str(path))
    return path
