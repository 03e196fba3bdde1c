"""When a fork server has served long enough: a fresh one costs a fraction of a second, a bloated one every fork."""

from pathlib import Path

ATTEMPTS = 10_000
"""After so many attempts a project's fork server is replaced."""

GROWTH_BYTES = 128 << 20
"""A project's fork server that has grown by so much is replaced."""

_LOOK_EVERY = 100


class Wear:
    """How worn one fork server is.

    Args:
        pid: its process.
        attempts: how many it may serve.
        growth_bytes: by how much its resident memory may grow.
    """

    def __init__(self, pid: int, *, attempts: int = ATTEMPTS, growth_bytes: int = GROWTH_BYTES) -> None:
        self.is_worn = False
        self._pid = pid
        self._most = attempts
        self._growth = growth_bytes
        self._served = 0
        self._first = resident_bytes(pid)

    def count(self) -> None:
        """Note that it serves one more attempt."""
        self._served += 1
        if self._served >= self._most:
            self.is_worn = True
        elif self._served % _LOOK_EVERY == 0:
            self.is_worn |= resident_bytes(self._pid) - self._first > self._growth


def resident_bytes(pid: int) -> int:
    """Return how much memory a process has resident; 0 when it cannot be told."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
