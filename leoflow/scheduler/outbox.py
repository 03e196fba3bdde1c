"""Feeds the callbacks: carries requests from the outbox into background jobs, and finds missed deadlines."""

from typing import ClassVar

from leoflow.db.queries import load
from leoflow.scheduler.timers import SetBased

SQL = load("callbacks")
EXPECTING_SECONDS = 0.5


class Outbox(SetBased):
    """Carries requests into procrastinate's queue.

    The end of a run sends no notification, so this looks often while a run goes that may ask for a callback.
    """

    name = "callback requests"
    channels = ("leoflow_callbacks",)
    queries = SQL
    call = "pump_outbox"
    wakes_workers = False
    poll_seconds = 5.0

    async def _seconds_to_next(self) -> float | None:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(SQL["callbacks_expected"])).fetchone()
        return EXPECTING_SECONDS if row and row[0] else None


class Deadlines(SetBased):
    """Marks deadlines whose time has come as missed, which asks for their callbacks."""

    name = "missed deadlines"
    channels: ClassVar[tuple[str, ...]] = ("leoflow_deadlines",)
    queries = SQL
    call = "miss_deadlines"
    next_due = "seconds_to_next_deadline"
    wakes_workers = False
    poll_seconds = 30.0
