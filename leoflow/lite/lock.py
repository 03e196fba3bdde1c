"""One Lite per home and per port, with an error that names the other one."""

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from leoflow.errors import LeoflowError

FILE_NAME = "lite.lock"


@dataclass(frozen=True, slots=True)
class Owner:
    """The Lite that holds a home."""

    pid: int
    url: str

    def __str__(self) -> str:
        return f"process {self.pid}" + (f" at {self.url}" if self.url else "")


@contextlib.contextmanager
def hold_home(home: Path) -> Iterator[int]:
    """Hold the lock of a home while the block runs; the kernel releases it with the process. Yields its descriptor.

    Raises:
        LeoflowError: another process holds it.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(home / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = read_owner(home)
            raise LeoflowError(
                "another Leoflow Lite runs on this home",
                where=f"{home}" + (f", {owner}" if owner else ""),
                hint=f"stop it (kill {owner.pid if owner else '<pid>'}), or choose another home with --home DIR",
            ) from None
        tell(descriptor, "")
        yield descriptor
    finally:
        os.close(descriptor)


def tell(descriptor: int, url: str) -> None:
    """Write who holds the lock, for the next one's error message."""
    text = json.dumps({"pid": os.getpid(), "url": url}).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)


def read_owner(home: Path) -> Owner | None:
    """Who wrote the lock file last; None when it cannot be read."""
    try:
        found = json.loads((home / FILE_NAME).read_text())
        return Owner(int(found["pid"]), str(found["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_held(home: Path) -> bool:
    """Whether a Lite runs on this home now."""
    try:
        descriptor = os.open(home / FILE_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything else is started; the socket does not accept yet.

    Raises:
        LeoflowError: the port is taken, not allowed, or the address is not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise LeoflowError("cannot resolve the host name", where=host, hint="use --host 127.0.0.1") from error
    taken = socket.socket(family, kind, protocol)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(address)
        taken.listen(128)
    except OSError as error:
        taken.close()
        raise _explain(error, host, port) from error
    taken.setblocking(False)
    return taken


def _explain(error: OSError, host: str, port: int) -> LeoflowError:
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        pid = _listening_pid(port)
        holder = f" by process {pid}" if pid else ""
        return LeoflowError(
            f"the port is in use{holder}",
            where=where,
            hint=f"stop that program, or choose another port with --port {port + 1 if port < 65535 else 8089}",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return LeoflowError("not allowed to listen on this port", where=where, hint="choose a port above 1023")
    return LeoflowError(f"cannot listen here ({error.strerror})", where=where, hint="use --host 127.0.0.1")


def _listening_pid(port: int) -> int | None:
    """The process that listens on a port, where Linux lets us see it."""
    with contextlib.suppress(OSError):
        inodes = set(_listening_inodes(port))
        for entry in Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                if str(entry.readlink()) in inodes:
                    return int(entry.parts[2])
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    listen = "0A"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == listen and int(fields[1].rpartition(":")[2], 16) == port:
                    yield f"socket:[{fields[9]}]"
