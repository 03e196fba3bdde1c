"""The supervisor's end of the Task SDK's wire protocol.

A frame is a big-endian 32-bit length and a msgpack array: `[id, body]` from the task, `[id, body, error]` to it.
What arrives comes from a process that runs user code: lengths are bounded, an over-long frame is read away and
answered with an error, anything that is no frame closes the channel with a reason.
"""

import array
import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from leoflow.execution.context import Reply
from leoflow.execution.faults import FaultError, refused

_HEADER = 4
_READ_SIZE = 256 * 1024
_HEAD_KEPT = 16
_READ_AWAY = 4
"""Up to so many times the limit a message is read away and refused; a longer one is not worth waiting for."""
_NOT_A_MESSAGE = (
    "the task wrote something to descriptor 0 that is not a message of the Task SDK; "
    "descriptor 0 connects it with its supervisor"
)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def encode_frame(frame: list[Any]) -> bytes:
    """Return a frame as it goes over the wire."""
    payload = _encode(frame)
    return len(payload).to_bytes(_HEADER, "big") + payload


class FrameChannel:
    """Frames over a non-blocking socket, driven by the event loop's readiness callbacks.

    Args:
        sock: our end of the socket pair; closed with the channel.
        limit: bytes a frame may have.
        on_frame: called with the id and body of each request.
        on_oversize: called with the id and length of a request above the limit, after it was read away.
        on_close: called once, with None at a normal end or a sentence that says what was wrong with the stream.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        limit: int,
        on_frame: Callable[[int, dict[str, Any]], None],
        on_oversize: Callable[[int, int], None],
        on_close: Callable[[str | None], None],
    ) -> None:
        self._socket = sock
        self._limit = limit
        self._on_frame = on_frame
        self._on_oversize = on_oversize
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._discard = 0
        self._discarded_id = 0
        self._discarded_length = 0
        self._outgoing: deque[tuple[memoryview, int | None]] = deque()
        self._closed = False
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._readable)

    @property
    def closed(self) -> bool:
        """True once nothing more can be sent or will arrive."""
        return self._closed

    def send(self, frame: list[Any], descriptor: int | None = None) -> None:
        """Send one frame, with a descriptor to pass if given (the channel closes its copy afterwards)."""
        self.write(encode_frame(frame), descriptor)

    def answer(self, request_id: int, body: Reply) -> None:
        """Answer a request; a body that msgpack cannot carry becomes an error."""
        try:
            self.send([request_id, body])
        except (TypeError, ValueError, OverflowError) as error:
            self.refuse(request_id, refused(f"the stored value cannot be sent to the task: {error}", 500))

    def refuse(self, request_id: int, fault: FaultError) -> None:
        """Answer a request with an error, in the place where the Task SDK looks for it."""
        self.send([request_id, fault.body()] if fault.expected else [request_id, None, fault.body()])

    def write(self, data: bytes, descriptor: int | None = None) -> None:
        """Send an encoded frame, or the rest of one that was sent in part before the channel was made."""
        if self._closed:
            _close_descriptor(descriptor)
            return
        self._outgoing.append((memoryview(data), descriptor))
        if len(self._outgoing) == 1:
            self._writable()

    def close(self, reason: str | None = None) -> None:
        """Close the channel and report it, once."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for _, descriptor in self._outgoing:
            _close_descriptor(descriptor)
        self._outgoing.clear()
        self._on_close(reason)

    # -- reading ------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close("the task closed its connection in the middle of a message" if self._buffer else None)
            return
        if self._discard:
            data = self._read_away(data)
        self._buffer += data
        self._take_frames()

    def _take_frames(self) -> None:
        while not self._closed and len(self._buffer) >= _HEADER:
            length = int.from_bytes(self._buffer[:_HEADER], "big")
            if length > self._limit:
                # The id is in the first bytes; wait for them so that the error can name the request.
                if len(self._buffer) < _HEADER + _HEAD_KEPT:
                    return
                self._start_reading_away(length)
            elif len(self._buffer) < _HEADER + length:
                return
            else:
                payload = bytes(self._buffer[_HEADER : _HEADER + length])
                del self._buffer[: _HEADER + length]
                self._dispatch(payload)

    def _dispatch(self, payload: bytes) -> None:
        try:
            frame = _decode(payload)
            request_id, body = frame[0], frame[1]
            if not isinstance(request_id, int) or not isinstance(body, dict):
                raise TypeError("not a request")
        except (msgspec.MsgspecError, TypeError, IndexError, KeyError, UnicodeDecodeError):
            self.close(_NOT_A_MESSAGE)
            return
        self._on_frame(request_id, body)

    def _start_reading_away(self, length: int) -> None:
        request_id = _leading_int(bytes(self._buffer[_HEADER : _HEADER + _HEAD_KEPT]))
        if request_id is None:
            self.close(_NOT_A_MESSAGE)
            return
        if length > _READ_AWAY * self._limit:
            announced = f"the task announced a message of {length:,} bytes and the limit is {self._limit:,}"
            self.close(f"{announced}; write large data to a file or object store")
            return
        self._discarded_id = request_id
        self._discarded_length = length
        self._discard = length
        rest = bytes(self._buffer[_HEADER:])
        self._buffer.clear()
        self._buffer += self._read_away(rest)

    def _read_away(self, data: bytes) -> bytes:
        taken = min(self._discard, len(data))
        self._discard -= taken
        if self._discard == 0:
            self._on_oversize(self._discarded_id, self._discarded_length)
        return data[taken:]

    # -- writing ------------------------------------------------------------------------------------------

    def _writable(self) -> None:
        while self._outgoing and not self._closed:
            data, descriptor = self._outgoing[0]
            try:
                sent = self._send_some(data, descriptor)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._socket.fileno(), self._writable)
                return
            except OSError:
                self.close()
                return
            _close_descriptor(descriptor)
            if sent < len(data):
                self._outgoing[0] = (data[sent:], None)
            else:
                self._outgoing.popleft()
        if not self._closed:
            self._loop.remove_writer(self._socket.fileno())

    def _send_some(self, data: memoryview, descriptor: int | None) -> int:
        if descriptor is None:
            return self._socket.send(data)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes())]
        return self._socket.sendmsg([data], rights)


def _leading_int(head: bytes) -> int | None:
    """Decode the id of a request from the first bytes of its array, None when they are no such thing."""
    if head[:1] not in (b"\x92", b"\x93", b"\x94"):
        return None
    first, rest = head[1], head[2:]
    if first <= 0x7F:
        return first
    width = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(first)
    return int.from_bytes(rest[:width], "big") if width else None


def _close_descriptor(descriptor: int | None) -> None:
    if descriptor is not None:
        with contextlib.suppress(OSError):
            socket.close(descriptor)
