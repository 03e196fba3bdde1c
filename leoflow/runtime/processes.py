"""Process-level protections: parent-death signals, sub-reapers, groups and orphans (Linux)."""

import contextlib
import ctypes
import errno
import io
import os
import resource
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36

_MADV_COLLAPSE = 25
_STATM = Path("/proc/self/statm")
_HUGE_PAGE = 2 << 20

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _prctl(option: int, value: int) -> None:
    if _libc is not None:
        _libc.prctl(option, value, 0, 0, 0)


def die_with_parent(parent: int, sig: int = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process when `parent` dies; exit at once when it already has."""
    _prctl(_PR_SET_PDEATHSIG, sig)
    if os.getppid() != parent:
        os._exit(0)


def hide_main() -> None:
    """Let interpreters that user code starts with `multiprocessing` (spawn, forkserver) or loky not load our program.

    They would run the main module of their parent first, and cannot import it: such a pool never gets to work.
    """
    main = sys.modules["__main__"]
    main.__spec__ = None
    vars(main).pop("__file__", None)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none escapes by daemonising."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def is_linux() -> bool:
    """Tell whether this module's protections are there."""
    return _libc is not None


def reread_time_zone() -> None:
    """Apply the variable TZ to this process."""
    time.tzset()


def restore_environment(before: dict[str, str]) -> None:
    """Make the environment variables what they were, touching the ones that are not."""
    now = os.environ.copy()
    for name in now.keys() - before.keys():
        del os.environ[name]
    for name, text in before.items():
        if now.get(name) != text:
            os.environ[name] = text


def hide_memory() -> None:
    """Refuse other processes of the same user a look into this one (ptrace, /proc/pid/mem)."""
    _prctl(_PR_SET_DUMPABLE, 0)


def kill_group(leader: int, sig: int) -> None:
    """Signal a process group; a group that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, sig)


def children() -> list[int]:
    """Return the process ids of this process's children, adopted ones included."""
    try:
        # Through pathlib it takes twice as long, and a zygote copies fifty pages more after each fork.
        with io.FileIO(f"/proc/self/task/{os.getpid()}/children") as listing:
            return [int(pid) for pid in listing.readall().split()]
    except OSError:
        return []


def strangers(known: "set[int] | dict[int, object]") -> int:
    """Return how many children run that are not `known`."""
    return sum(_is_running(pid) for pid in children() if pid not in known)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def kill_strangers(known: "set[int] | dict[int, object]") -> None:
    """Kill every child that is not `known`.

    Attempts adopt their own orphans, so an unknown child can only be something a finished attempt left behind.
    """
    for pid in children():
        if pid not in known:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                group = os.getpgid(pid)
                if group != os.getpgid(0):
                    os.killpg(group, signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)


def cores() -> "list[int]":
    """Return the cores this process may run on; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def keep_to_cores(cores: "list[int] | None") -> None:
    """Let this process and what it starts run on these cores only; None or none: no limit."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def names_in(directory: str) -> list[str]:
    """Return what is in a directory, sorted."""
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries)


def thread_count() -> int:
    """Return how many kernel threads this process has."""
    try:
        return len(names_in("/proc/self/task"))
    except OSError:
        return 1


def data_bytes() -> int:
    """Return how much of this process's memory the kernel counts against RLIMIT_DATA, and its stack."""
    try:
        # A tenth of what /proc/self/status takes.
        return int(_STATM.read_bytes().split()[5]) * resource.getpagesize()
    except OSError:
        return 0


def use_huge_pages() -> None:
    """Move this process's own memory to huge pages (Linux 6.1 and later; elsewhere nothing happens).

    A fork copies one entry per page: measured, a fork of a loaded zygote takes half the time afterwards. What the
    process shares with its parent it has to itself afterwards.
    """
    if _libc is None:
        return
    with contextlib.suppress(OSError):
        for start, end in _private_memory():
            for address in range(-(-start // _HUGE_PAGE) * _HUGE_PAGE, end - _HUGE_PAGE + 1, _HUGE_PAGE):
                page = ctypes.c_void_p(address)
                if _libc.madvise(page, ctypes.c_size_t(_HUGE_PAGE), _MADV_COLLAPSE) and not _is_only_busy():
                    return


def _is_only_busy() -> bool:
    """Tell whether the last call failed for its one address only."""
    return ctypes.get_errno() in (errno.EAGAIN, errno.EBUSY)


def _private_memory() -> "list[tuple[int, int]]":
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        if fields[1] == "rw-p" and (len(fields) == 5 or fields[5] == "[heap]"):
            start, _, end = fields[0].partition("-")
            found.append((int(start, 16), int(end, 16)))
    return found
