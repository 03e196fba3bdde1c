from collections.abc import AsyncIterator

import pytest

from leoflow.crypto import SecretBox
from leoflow.execution.access import SecretAccess
from leoflow.execution.context import Limits, Store
from leoflow.worker.launchers.usercode import ForkedUserCode
from tests.integration.worker.harness import Harness, running
from tests.support.postgres import Server


@pytest.fixture(scope="module")
async def harness(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    """One worker and fork server for a module's tests; each test registers DAGs of its own."""
    home = tmp_path_factory.mktemp("usercode") / "home"
    with server.database(template) as dsn:
        async with running(dsn, home) as started:
            yield started


@pytest.fixture(scope="module")
async def usercode(harness: Harness) -> ForkedUserCode:
    store = Store(harness.pool, SecretBox.load_or_create(harness.home), Limits(), SecretAccess())
    return ForkedUserCode(harness.launcher, harness.home, store)
