"""How much the log of an attempt may hold, counted in the attempt itself.

The worker cuts a log at its limit. Making log lines that it then drops would take a hundred times as long as passing on
what they say, so from the limit on an attempt only tells how much there was.
"""

import contextlib
import io
import os
import threading
from typing import Any

MAX_LINE_BYTES = 64 * 1024
"""The worker cuts a longer line."""

NOISE = b'"event":"Pushing xcom"'
"""In lines of the SDK that say nothing to a reader, half a kilobyte for every task: the worker drops them uncounted."""

VERDICTS = ("Task failed with exception", "Task exited", "Top level error")
"""What the SDK says last of a task that failed; kept whatever came before."""

_BLOCK = 1 << 16
_PIPE = 1 << 16
_WRITTEN_AT_ONCE = 1 << 20


class Budget:
    """How much the log of an attempt takes before the worker drops what comes; shared by all that writes to it.

    Args:
        limit_bytes: the worker's limit; None: there is none.
    """

    def __init__(self, limit_bytes: "int | None") -> None:
        # What fits into the pipes may not have been read yet, and so not have been dropped.
        self._left = None if limit_bytes is None else limit_bytes + 2 * _PIPE

    @property
    def is_spent(self) -> bool:
        """True once the worker has surely cut the log."""
        return self._left is not None and self._left < 0

    def spend(self, count: int) -> None:
        """Note bytes written to the log."""
        if self._left is not None:
            self._left -= count


class Overflow:
    """What came beyond the limit: passed on as it is and in large blocks, for the worker to count."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._block = bytearray()
        self._lock = threading.Lock()

    def add(self, data: Any) -> None:
        """Pass on bytes, now or with later ones."""
        with self._lock:
            if len(data) >= _BLOCK:  # may be a gigabyte: no copies
                self._flush()
                write_all(self._descriptor, data)
                return
            self._block += data
            if len(self._block) >= _BLOCK:
                self._flush()

    def finish(self) -> None:
        """Pass on what is held."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        block, self._block = self._block, bytearray()
        write_all(self._descriptor, block)


class LogFile(io.FileIO):
    """The pipe of structured lines as the SDK's loggers write to it, and what keeps them from it beyond the limit."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._budget = Budget(None)
        self._overflow = Overflow(descriptor)

    def limit(self, budget: Budget, overflow: Overflow) -> None:
        """Count against a budget from now on; what comes when it is spent goes to `overflow`."""
        self._budget, self._overflow = budget, overflow

    def write(self, line: Any) -> int:
        """Write a line, all of it, and count what the worker will keep of it."""
        done = super().write(line) or 0
        while done < len(line):
            done += super().write(line[done:]) or 0
        if NOISE not in line:
            self._budget.spend(min(len(line), MAX_LINE_BYTES))
        return done

    def admit_event(self, _logger: Any, _method: str, event: "dict[str, Any]") -> "dict[str, Any]":
        """A structlog processor, before all others: drop what will not be kept.

        Raises:
            structlog.DropEvent: the log is full.
        """
        if self._budget.is_spent and event.get("event") not in VERDICTS:
            import structlog

            self._drop(event.get("event"))
            raise structlog.DropEvent
        return event

    def admit_record(self, record: Any) -> bool:
        """A filter of the standard library's handlers: as `admit_event`."""
        if self._budget.is_spent:
            with contextlib.suppress(Exception):  # a message that does not fit its arguments
                self._drop(record.getMessage())
            return False
        return True

    def _drop(self, said: Any) -> None:
        with contextlib.suppress(OSError):
            self._overflow.add(f"{said}\n".encode(errors="replace"))


def write_all(descriptor: int, data: Any) -> None:
    """Write all of it, a megabyte at a time."""
    view = memoryview(data)
    done = 0
    while done < len(view):
        done += os.write(descriptor, view[done : done + _WRITTEN_AT_ONCE])
