"""A service ends when it is cancelled, whatever else happens in that instant."""

import asyncio

import pytest

from leoflow.scheduler.service import Service

pytestmark = pytest.mark.anyio


class Idle(Service):
    """Has nothing to do."""

    name = "idle"

    async def work(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("steps", range(6))
async def test_a_service_that_is_woken_and_cancelled_at_once_ends(steps: int) -> None:
    service = Idle()
    task = asyncio.create_task(service.run())
    for _ in range(10):
        await asyncio.sleep(0)
    service.wake()
    for _ in range(steps):  # the wake-up travels through the loop; the cancellation may meet it anywhere
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert done == {task}
    assert task.cancelled()
