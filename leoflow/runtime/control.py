"""The control channel between a worker and its zygotes: one JSON object per packet, descriptors attached.

Both ends use it: the worker under the control plane's interpreter, the zygotes under the project's. So this
module imports the standard library only and keeps to what Python 3.10 knows.
"""

import array
import json
import socket
from typing import Any

MAX_PACKET = 160 * 1024
"""Bytes of one message. Large things (run conf, XComs) travel on the attempt's own socket, never here."""

MAX_DESCRIPTORS = 8


_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().decode


class ControlClosedError(Exception):
    """The other end of a control channel is gone."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new control channel. Packets keep their boundaries, a dead peer is an EOF."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(channel: socket.socket, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    """Send one message with its descriptors. Raises `ControlClosedError` when nobody listens any more."""
    data = _encode(message).encode()
    if len(data) > MAX_PACKET:
        raise ValueError(f"control message of {len(data)} bytes is over the limit of {MAX_PACKET}")
    ancillary = []
    if descriptors:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())]
    try:
        channel.sendmsg([data], ancillary)
    except (BrokenPipeError, ConnectionResetError, OSError) as error:
        if isinstance(error, BlockingIOError):
            raise
        raise ControlClosedError(str(error)) from error


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receive one message and its descriptors. Raises `ControlClosedError` at EOF, `BlockingIOError` when empty."""
    descriptors = array.array("i")
    try:
        data, ancillary, _, _ = channel.recvmsg(
            MAX_PACKET, socket.CMSG_LEN(MAX_DESCRIPTORS * descriptors.itemsize), socket.MSG_CMSG_CLOEXEC
        )
    except ConnectionResetError as error:
        raise ControlClosedError(str(error)) from error
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    if not data:
        raise ControlClosedError("end of file")
    message: dict[str, Any] = _decode(data.decode())
    return message, list(descriptors)
