from collections.abc import AsyncIterator

import pytest

from tests.integration.worker.harness import Harness, running
from tests.support.postgres import Server


@pytest.fixture(scope="module")
async def harness(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    """One worker and fork server for a module's tests; each test registers DAGs of its own."""
    home = tmp_path_factory.mktemp("worker") / "home"
    with server.database(template) as dsn:
        async with running(dsn, home) as started:
            yield started
