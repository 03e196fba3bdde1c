"""Reads the pipes into which an attempt writes what it logs and prints."""

import asyncio
import contextlib
import fcntl
import os

from leoflow.worker.log_lines import LogLines

_READ_SIZE = 64 * 1024
_READS_AT_ONCE = 4
_LARGE = 1 << 20
_PAUSE_SECONDS = 0.005


class OutputPipes:
    """The pipes of one attempt, read as they fill.

    Once its log is full, what comes is only counted: then the pipes are made large and looked at now and then, so that
    a task that goes on printing as fast as it can takes little of the worker's time from its neighbours.

    Args:
        lines: takes what is read.
    """

    def __init__(self, lines: LogLines) -> None:
        self._lines = lines
        self._loop = asyncio.get_running_loop()
        self._streams: dict[int, str] = {}
        self._large: set[int] = set()
        self._closed = asyncio.Event()

    def read(self, descriptor: int, stream: str) -> None:
        """Read a pipe ("log", "stdout" or "stderr") until its end; it is closed then, or with the others."""
        os.set_blocking(descriptor, False)
        self._streams[descriptor] = stream
        self._closed.clear()
        self._loop.add_reader(descriptor, self._readable, descriptor, stream)

    def read_what_is_there(self) -> None:
        """Read the output the task wrote before the message that is being handled."""
        for stream in ("stdout", "stderr", "log"):
            for descriptor, name in list(self._streams.items()):
                if name == stream:
                    # A pipe holds no more than this; a thread that prints on must not keep us here.
                    for _ in range(_READS_AT_ONCE):
                        if not self._read_once(descriptor, name):
                            break

    async def wait_closed(self) -> None:
        """Wait until nobody can write into the pipes any more and all was read."""
        await self._closed.wait()

    def close(self) -> None:
        """Close the pipes."""
        for descriptor in list(self._streams):
            self._stop(descriptor)

    def _readable(self, descriptor: int, stream: str) -> None:
        if self._lines.is_full:
            self._read_seldom(descriptor, stream)
            return
        if stream == "log":
            # What was printed before this log line is in its pipe already: keep the order.
            for other, name in list(self._streams.items()):
                if name != "log":
                    self._read_once(other, name)
        if descriptor in self._streams:
            self._read_once(descriptor, stream)

    def _read_seldom(self, descriptor: int, stream: str) -> None:
        if descriptor not in self._large:
            self._large.add(descriptor)
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _LARGE)
        if self._read_once(descriptor, stream, _LARGE):
            self._loop.remove_reader(descriptor)
            self._loop.call_later(_PAUSE_SECONDS, self._resume, descriptor, stream)

    def _resume(self, descriptor: int, stream: str) -> None:
        if self._streams.get(descriptor) == stream:
            self._loop.add_reader(descriptor, self._readable, descriptor, stream)

    def _read_once(self, descriptor: int, stream: str, size: int = _READ_SIZE) -> bool:
        try:
            data = os.read(descriptor, size)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if data:
            self._lines.feed(stream, data)
        else:
            self._stop(descriptor)
        return bool(data)

    def _stop(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        del self._streams[descriptor]
        self._large.discard(descriptor)
        if not self._streams:
            self._closed.set()
