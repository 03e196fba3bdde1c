"""What an attempt may leave behind in its process, so that the next one must not run there."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from leoflow.runtime import processes

GROWTH_BYTES = 64 << 20
"""A process that has grown by so much is not used again."""

_SIGNALS = sorted(int(number) for number in signal.valid_signals())
_OF_THE_SDK = ("AIRFLOW_CTX_", "_AIRFLOW_PARSING_CONTEXT_")


class Traces:
    """Compares the process with what it was when this was made."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._state = _state()
        self._data = processes.data_bytes()
        self._directory = Path.cwd()
        self._cores = processes.cores()

    def left_by(self, order: "dict[str, Any]") -> bool:
        """Tell whether the attempt of `order` has left something that `wipe` does not undo."""
        return (
            _state() != self._state
            or bool(processes.children())
            or str(Path.cwd()) != order["cwd"]
            or processes.data_bytes() - self._data > GROWTH_BYTES
            or any(not _is_expected(name, order) for name in self._changed_variables())
        )

    def wipe(self, order: "dict[str, Any]") -> None:
        """Undo what every attempt leaves: its variables, its directory, the cores it was limited to."""
        processes.restore_environment(self._environment)
        if "TZ" in order["env"]:
            processes.reread_time_zone()
        os.chdir(self._directory)
        if processes.cores() != self._cores:
            processes.keep_to_cores(self._cores)

    def _changed_variables(self) -> "list[str]":
        now, before = os.environ.copy(), self._environment
        return [name for name in now.keys() | before.keys() if now.get(name) != before.get(name)]


def _is_expected(name: str, order: "dict[str, Any]") -> bool:
    return name in order["env"] or name.startswith(_OF_THE_SDK)


def _state() -> "tuple[Any, ...]":
    """Return what must be the same after an attempt: descriptors, threads, signals, timers, modes."""
    mask = os.umask(0o077)
    os.umask(mask)
    return (
        # The listing itself has a descriptor too, the same one each time.
        processes.names_in("/proc/self/fd"),
        threading.active_count(),
        processes.thread_count(),
        [signal.getsignal(number) for number in _SIGNALS],
        signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        mask,
        sys.getrecursionlimit(),
        sys.excepthook,
        list(sys.path),
    )
