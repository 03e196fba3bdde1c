"""A fork server that has served long enough is replaced, and nobody notices."""

import os
from pathlib import Path

import pytest

from leoflow.worker.launchers import wear
from leoflow.worker.launchers.wear import Wear
from tests.integration.worker.harness import Harness

pytestmark = pytest.mark.anyio


async def test_a_worn_fork_server_is_replaced_after_its_attempts(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wear.Wear, "count", _worn_after_one)
    await harness.register("""
    with DAG("worn") as dag:
        @task
        def slow(): time.sleep(1); return os.getppid()
        @task
        def first(): return os.getppid()
        @task
        def second(before): return os.getppid()
        slow()
        second(first())
    """)
    run = await harness.run("worn")
    assert run.state == "success"
    slow, first, second = (run.xcoms[(name, "return_value")] for name in ("slow", "first", "second"))
    assert second not in (first, slow)
    await harness.run("worn")
    assert all([await _is_gone(harness, server) for server in (slow, first, second)])


def _worn_after_one(self: Wear) -> None:
    self.is_worn = True


async def _is_gone(harness: Harness, pid: int) -> bool:
    while Path(f"/proc/{pid}").exists():
        await harness._watch()
    return True


def test_wear_counts_attempts_and_memory() -> None:
    used = Wear(os.getpid(), attempts=3)
    used.count()
    used.count()
    assert not used.is_worn
    used.count()
    assert used.is_worn
    grown = Wear(os.getpid(), growth_bytes=-1)
    for _ in range(99):
        grown.count()
    assert not grown.is_worn
    grown.count()
    assert grown.is_worn
    assert not Wear(0).is_worn
