"""Slows down password guessing: a few failures per user and address, then a pause.

Counted in this process alone; each replica of a cluster counts its own. Postgres would make the count exact at
the price of a write per guess, which is what a flood of guesses wants.
"""

import time
from collections import OrderedDict

FAILURES = 10
WINDOW_SECONDS = 300.0
_REMEMBERED = 10_000


class LoginLimiter:
    """Failures per key within a window."""

    def __init__(self, failures: int = FAILURES, window: float = WINDOW_SECONDS) -> None:
        self._limit = failures
        self._window = window
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def wait_seconds(self, user_name: str, address: str) -> int:
        """Return how long this user at this address has to wait; 0 for not at all."""
        recent = self._recent((user_name, address))
        if len(recent) < self._limit:
            return 0
        return max(1, int(recent[0] + self._window - time.monotonic()))

    def failed(self, user_name: str, address: str) -> None:
        """Count a wrong password."""
        key = (user_name, address)
        self._failures[key] = [*self._recent(key), time.monotonic()]
        self._failures.move_to_end(key)
        if len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, user_name: str, address: str) -> None:
        """Forget the failures of somebody who knew the password."""
        self._failures.pop((user_name, address), None)

    def _recent(self, key: tuple[str, str]) -> list[float]:
        since = time.monotonic() - self._window
        return [moment for moment in self._failures.get(key, []) if moment > since]
