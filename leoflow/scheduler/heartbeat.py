"""Says in the database that this scheduler lives, for the health endpoints."""

import os
import socket
from typing import ClassVar

from leoflow.config import SchedulerSettings
from leoflow.db import Pool
from leoflow.db.queries import load
from leoflow.scheduler.service import Service

SQL = load("scheduler")


class Heartbeat(Service):
    """Upserts one row per role of this process."""

    name: ClassVar[str] = "heartbeat"

    def __init__(self, pool: Pool, settings: SchedulerSettings, *, kinds: tuple[str, ...]) -> None:
        super().__init__()
        self._pool = pool
        self._seconds = settings.heartbeat_seconds
        self._identity = (socket.gethostname(), os.getpid(), list(kinds))

    async def work(self) -> float | None:
        """Write one heartbeat."""
        async with self._pool.connection() as connection:
            await connection.execute(SQL["heartbeat"], self._identity)
        return self._seconds
