"""What an attempt prints goes into its structured log, so that it stands where it was printed.

Two pipes have no common order: a line printed between two log lines could be shown before or after both, even inside
a collapsed group of the log. So complete lines that Python prints are written to the log's own pipe, with the time of
printing. Everything else (parts of lines, very long ones, subprocesses, C code) takes the pipes of descriptors 1 and 2.

Once an attempt has printed more than its log may hold, it is passed on as it is, in large blocks
(`leoflow.runtime.log_limit`).
"""

import io
import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from leoflow.runtime.log_limit import Budget, Overflow, write_all

# POSIX: writes to a pipe up to this size are atomic, so lines of several threads do not mix.
_ATOMIC = 4096
_HELD = 1 << 20
_LINE_BREAK = 10


class PrintedLines(io.RawIOBase):
    """The raw end of `sys.stdout` or `sys.stderr`."""

    def __init__(
        self,
        descriptor: int,
        log_descriptor: int,
        logger: str,
        level: str,
        budget: "Budget | None" = None,
        overflow: "Overflow | None" = None,
    ) -> None:
        self._budget = budget or Budget(None)
        self._overflow = overflow or Overflow(descriptor)
        self._descriptor = descriptor
        self._log = log_descriptor
        self._logger = logger
        self._level = level
        self._is_inside_line = False
        self._held = b""

    def fileno(self) -> int:
        """Return the descriptor a subprocess inherits."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return False: nobody watches."""
        return False

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Log complete lines; pass anything else on."""
        if self._budget.is_spent:
            return self._drop(data)
        if len(data) > _HELD:  # may be a gigabyte: no copies
            self._pass_on(self._held)
            self._held = b""
            self._pass_on(data)
            return len(data)
        written = bytes(data)
        data, self._held = self._held + written, b""
        lines = None if self._is_inside_line else self._lines(data)
        if lines is None or (b"\n" not in data and data == written) or len(data) > _HELD:
            self._pass_on(data)
            return len(written)
        for piece in _pieces(lines):
            os.write(self._log, piece)
            self._budget.spend(len(piece) - piece.count(b"\n"))
        # `print("one\ntwo")` arrives as "one\ntwo" and "\n": the second line is not over yet.
        self._held = data[data.rfind(b"\n") + 1 :]
        return len(written)

    def finish(self) -> None:
        """Pass on what was printed without a line break at the end."""
        self._overflow.finish()
        self._pass_on(self._held)
        self._held = b""

    def _drop(self, data: Any) -> int:
        """Pass on what nobody will read, so that the worker can say how much it was."""
        self._overflow.add(self._held)
        self._overflow.add(data)
        self._held = b""
        return len(data)

    def _lines(self, data: bytes) -> "list[bytes] | None":
        """Return the log lines to write, None when one is too long."""
        time = datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
        lines = []
        for text in data.decode("utf-8", errors="replace").split("\n")[:-1]:
            if not text.strip():
                continue
            event = {"timestamp": time, "level": self._level, "event": text.rstrip("\r"), "logger": self._logger}
            line = json.dumps(event).encode() + b"\n"
            if len(line) > _ATOMIC:
                return None
            lines.append(line)
        return lines

    def _pass_on(self, data: Any) -> None:
        if len(data):
            self._is_inside_line = data[-1] != _LINE_BREAK
        write_all(self._descriptor, data)


def _pieces(lines: "list[bytes]") -> "Iterator[bytes]":
    """Join lines to as few writes as stay atomic: a flood of short lines costs a tenth of the system calls."""
    piece = b""
    for line in lines:
        if len(piece) + len(line) > _ATOMIC:
            yield piece
            piece = b""
        piece += line
    if piece:
        yield piece


def log_what_is_printed(log_descriptor: int, limit_bytes: "int | None" = None) -> "tuple[Budget, Overflow]":
    """Replace the standard streams of this process; called in an attempt, never in a zygote.

    Args:
        log_descriptor: the pipe of structured lines.
        limit_bytes: how much the worker keeps; None: all.

    Returns:
        What the log still takes, and where the rest goes: for others who write to it.
    """
    budget, overflow = Budget(limit_bytes), Overflow(1)
    for name, descriptor, level in (("stdout", 1, "info"), ("stderr", 2, "error")):
        raw = PrintedLines(descriptor, log_descriptor, f"task.{name}", level, budget, overflow)
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        setattr(sys, name, stream)
    return budget, overflow
