"""Which process gets the next attempt, where processes run several."""

import select
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from leoflow.runtime import control, reuse
from leoflow.runtime.reuse import Reusables

ORDER = {"op": "attempt", "id": "1", "attempts_per_process": 10}


class Children(Reusables):
    """Makes no processes: the other end of each channel is kept here."""

    def __init__(self) -> None:
        super().__init__(None, select.poll(), lambda: None)  # type: ignore[arg-type]
        self.others: list[socket.socket] = []

    def _fork(self, descriptors: list[int]) -> int:
        ours, theirs = control.pair()
        self.others.append(theirs)
        pid = len(self.others)
        self._channels[pid] = ours
        self._poller.register(ours, select.POLLIN)
        return pid

    def ends_attempt(self, pid: int) -> None:
        control.send(self.others[pid - 1], {"code": 0})
        assert self.done(self._channels[pid].fileno()) == (pid, 0)


@pytest.fixture
def children() -> Iterator[Children]:
    made = Children()
    yield made
    made.leave()
    for other in made.others:
        other.close()


def give_next(children: Children) -> int | None:
    waiting: Any = children.next_order()
    return None if waiting is None else children.give(*waiting)


def test_the_successor_waits_for_the_process_of_its_predecessor(children: Children) -> None:
    children.take(ORDER, [])
    assert give_next(children) == 1  # nobody is at work: nothing to wait for
    children.take(ORDER, [])
    assert give_next(children) is None
    pause = children.pause()
    assert pause is not None and 0 < pause <= reuse.PATIENCE_SECONDS * 1000 + 1
    children.ends_attempt(1)
    assert give_next(children) == 1
    assert give_next(children) is None


def test_an_order_does_not_wait_long_for_a_process_at_work(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    children.take(ORDER, [])
    assert give_next(children) == 1
    children.take(ORDER, [])
    late = time.monotonic() + reuse.PATIENCE_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: late)
    assert give_next(children) == 2
