"""The small base of every service: look at the tables, do what is due, sleep until something is due or changes."""

import asyncio
import contextlib
import random
from abc import ABC, abstractmethod
from typing import ClassVar

from leoflow.supervision import Backoff, log_failure

SOONEST = 0.005


class Service(ABC):
    """One duty of the scheduler.

    Attributes:
        name: what logs and health call it.
        channels: notifications that mean "look now".
        poll_seconds: the longest it sleeps without looking, since a notification is only a hint.
    """

    name: ClassVar[str]
    channels: ClassVar[tuple[str, ...]] = ()
    poll_seconds: float = 60.0

    def __init__(self) -> None:
        self._wake = asyncio.Event()

    @abstractmethod
    async def work(self) -> float | None:
        """Do what is due now, in transactions that may be repeated by anyone.

        Returns:
            Seconds until this service knows it has something to do (0: more is waiting), or None.
        """

    def wake(self) -> None:
        """Look at the tables soon."""
        self._wake.set()

    async def run(self) -> None:
        """Work and sleep until cancelled; a failing pass is logged and repeated with growing pauses."""
        backoff = Backoff()
        while True:
            self._wake.clear()
            try:
                due_in = await self.work()
                backoff.reset()
            except Exception as error:
                log_failure(self.name, error)
                await asyncio.sleep(backoff.pause())
                continue
            await self._sleep(due_in)

    async def _sleep(self, due_in: float | None) -> None:
        longest = self.poll_seconds * random.uniform(0.8, 1.2)
        seconds = longest if due_in is None else min(max(due_in, SOONEST), longest)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
