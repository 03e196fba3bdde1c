"""The worker inside Lite's process, and the fork servers it shares with hot reload."""

import socket

from leoflow.compiler import DagLoader, LoadRequest, LoadResult
from leoflow.config import Settings
from leoflow.db import Pool
from leoflow.execution.context import Store
from leoflow.execution.usercode import Call, CallAnswer
from leoflow.lite.interpreters import Interpreters
from leoflow.worker.launchers.fork_client import ZygoteClient
from leoflow.worker.launchers.loader import ForkServerLoader
from leoflow.worker.launchers.process import ForkServerLauncher
from leoflow.worker.launchers.usercode import ForkedUserCode
from leoflow.worker.worker import Worker, default_slots


class LocalWorker:
    """A worker that may be started again after a failure; DAG files are loaded by forks of the same servers.

    Args:
        url: where people find the UI; None: nowhere.
    """

    def __init__(
        self, settings: Settings, pool: Pool, dsn: str, interpreters: Interpreters, url: str | None = None
    ) -> None:
        self._url = url
        self._settings = settings
        self._pool = pool
        self._dsn = dsn
        self._interpreters = interpreters
        self._launcher = self._new_launcher()
        self._store = Store.of(pool, settings)
        self.slots = settings.slots or default_slots()

    async def run(self) -> None:
        """Work until cancelled; ends when it cannot go on, and may then be called again."""
        try:
            await Worker(self._pool, self._settings, self._launcher, dsn=self._dsn).run()
        finally:
            self._launcher = self._new_launcher()

    def loader(self, environment_key: str) -> DagLoader:
        """A loader of DAG files in the environment of that key."""
        return _Loader(self, environment_key)

    async def load(self, environment_key: str, request: LoadRequest) -> LoadResult:
        """Load one DAG file in a fork of the environment's server."""
        return await ForkServerLoader(self._launcher, environment_key).load(request)

    async def call(self, call: Call) -> CallAnswer:
        """Call a piece of a project's code. Implements `leoflow.execution.usercode.UserCode`."""
        return await ForkedUserCode(self._launcher, self._settings.home, self._store).call(call)

    async def fork_trigger_runner(
        self, environment_key: str | None, bundle_path: str | None
    ) -> tuple[ZygoteClient, str, socket.socket, int]:
        """Fork a process that runs triggers from the environment's server."""
        return await self._launcher.fork_trigger_runner(environment_key, bundle_path)

    async def close(self) -> None:
        """End the fork servers."""
        await self._launcher.close()

    def _new_launcher(self) -> ForkServerLauncher:
        return ForkServerLauncher(
            self._interpreters.python_of,
            self._settings.home,
            shares_secrets=self._settings.secrets.access != "declared",
            base_url=self._url,
        )


class _Loader:
    def __init__(self, worker: LocalWorker, environment_key: str) -> None:
        self._worker = worker
        self._environment_key = environment_key

    async def load(self, request: LoadRequest) -> LoadResult:
        """See `DagLoader.load`."""
        return await self._worker.load(self._environment_key, request)
