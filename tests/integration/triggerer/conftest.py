import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from leoflow.api.app import create_app
from leoflow.api.auth import users
from leoflow.api.settings import ApiSettings
from leoflow.config import TriggererSettings
from leoflow.triggerer import Triggerer
from tests.integration.worker.harness import Harness, running
from tests.support.postgres import Server

QUICK = TriggererSettings(lease_seconds=20, heartbeat_seconds=0.3, poll_seconds=0.5)


@contextlib.asynccontextmanager
async def triggerer_of(harness: Harness) -> AsyncIterator[Triggerer]:
    """A triggerer beside the worker, stopped afterwards."""
    settings = harness.settings.model_copy(update={"triggerer": QUICK})
    triggerer = Triggerer(harness.pool, settings, harness.launcher.fork_trigger_runner, dsn=harness.dsn)
    task = asyncio.create_task(triggerer.run())
    try:
        yield triggerer
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture(scope="module")
async def harness(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    """A worker and its fork server for a module's tests; each test registers DAGs of its own."""
    home = tmp_path_factory.mktemp("triggerer") / "home"
    with server.database(template) as dsn:
        async with running(dsn, home) as started:
            yield started


@pytest.fixture(scope="module")
async def triggerer(harness: Harness) -> AsyncIterator[Triggerer]:
    async with triggerer_of(harness) as started:
        yield started


@pytest.fixture(scope="module")
async def client(harness: Harness) -> AsyncIterator[httpx.AsyncClient]:
    """The administrator at the API."""
    async with harness.pool.connection() as conn:
        await users.put_user(conn, "admin", "correct horse", "admin")
        await users.put_user(conn, "ann", "correct horse", "user")
    app = create_app(harness.pool, ApiSettings(home=harness.home, host="0.0.0.0"))

    def headers(name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {app.state.leoflow.signer.issue(name, name, 600)}"}

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://leoflow.test", headers=headers("admin")
    ) as found:
        found.ann = headers("ann")  # type: ignore[attr-defined]
        yield found
