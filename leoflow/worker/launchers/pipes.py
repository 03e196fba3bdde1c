"""Reads the pipes of short-lived forks that answer one request."""

import asyncio
import os


class Pipe:
    """Reads a pipe as it fills; keeps its beginning and its end.

    Args:
        descriptor: the end to read; closed with the pipe.
        keep_start: bytes to keep of the beginning.
        keep_end: bytes to keep of the end.
        limit: `exceeded` is done once more than this has come.
    """

    def __init__(self, descriptor: int, *, keep_start: int, keep_end: int, limit: int | None = None) -> None:
        self._descriptor = descriptor
        self._keep_start = keep_start
        self._keep_end = keep_end
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self.start = bytearray()
        self._end = bytearray()
        self.size = 0
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.exceeded: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._readable)

    def stop(self) -> None:
        """Close the pipe."""
        if not self.closed.done():
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self.closed.set_result(None)

    def text(self) -> str:
        """Return what was kept, with a mark where something is missing."""
        cut = b"\n[...]\n" if self.size > len(self.start) + len(self._end) else b""
        return (self.start + cut + self._end).decode("utf-8", "replace")

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, 1 << 16)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self.stop()
            return
        self.size += len(data)
        room = self._keep_start - len(self.start)
        self.start += data[:room] if room > 0 else b""
        if self._keep_end:
            self._end = (self._end + data[max(room, 0) :])[-self._keep_end :]
        if self._limit is not None and self.size > self._limit and not self.exceeded.done():
            self.exceeded.set_result(None)
