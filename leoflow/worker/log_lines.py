"""Turns what an attempt writes into the structured log lines Airflow's UI shows."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import orjson

from leoflow.runtime.log_limit import MAX_LINE_BYTES, NOISE, VERDICTS
from leoflow.worker.long_lines import first_part, shortened
from leoflow.worker.masking import Masker

_READ_BYTES = 1 << 20
"""A structured line is read up to here, so that it can be shortened where it is long instead of cut anywhere."""
_SEARCHED_BYTES = 64 << 20
"""So much of what the loggers write into a full log is looked through for how the task failed."""
_VERDICTS = tuple(f'"event":"{text}"'.encode() for text in VERDICTS)
_VERDICTS_KEPT = 2


class LogLines:
    """The log of one attempt: complete JSON lines out of four streams of bytes.

    Args:
        emit: receives each finished line, without a line break.
        masker: hides the attempt's secrets.
        limit_bytes: after this much output a notice is written and the rest dropped.
        end: called once no more lines come.
    """

    def __init__(
        self,
        emit: Callable[[bytes], None],
        masker: Masker,
        limit_bytes: int,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._emit = emit
        self._end = end
        self._masker = masker
        self._limit = limit_bytes
        self._written = 0
        self._dropped = 0
        self._searched = 0
        self._verdicts = 0
        self._partial: dict[str, bytearray] = {}
        self._cutting: set[str] = set()
        self.ran_out_of_memory = False
        """True once the log shows that a MemoryError ended the task."""

    @property
    def is_full(self) -> bool:
        """True once the limit was reached: what comes is counted and dropped."""
        return self._dropped > 0

    def feed(self, stream: str, data: bytes) -> None:
        """Take raw bytes of `stream`: "log" (the SDK's JSON lines), "stdout" or "stderr"."""
        if self._dropped:
            self._dropped += len(data)
            if stream != "log" or self._searched > _SEARCHED_BYTES:
                return
            self._searched += len(data)
        buffer = self._partial.setdefault(stream, bytearray())
        *complete, rest = data.split(b"\n")
        for piece in complete:
            self._append(stream, buffer, piece)
            self._finish_line(stream, buffer)
        self._append(stream, buffer, rest)

    def note(self, text: str, *, level: str = "error", **details: Any) -> None:
        """Write a line of our own, about what happened to the attempt. Never dropped by the limit."""
        self._put({"timestamp": _now(), "level": level, "event": text, "logger": "leoflow.worker", **details})

    def close(self) -> None:
        """Write what the streams left without a line break, and say that this was all."""
        for stream, buffer in self._partial.items():
            if buffer:
                self._finish_line(stream, buffer)
        if self._dropped:
            self.note(f"{self._dropped:,} more bytes of output were dropped.", level="warning")
            self._dropped = 0
        self._partial.clear()
        self._end()

    def _append(self, stream: str, buffer: bytearray, piece: bytes) -> None:
        room = (_READ_BYTES if stream == "log" else MAX_LINE_BYTES) - len(buffer)
        if len(piece) > room:
            self._cutting.add(stream)
            piece = piece[:room]
        buffer += piece

    def _finish_line(self, stream: str, buffer: bytearray) -> None:
        line = bytes(buffer)
        buffer.clear()
        was_cut = stream in self._cutting
        self._cutting.discard(stream)
        if not line.strip():
            return
        counted = min(len(line), MAX_LINE_BYTES)
        if self._dropped:
            if stream == "log" and self._verdicts < _VERDICTS_KEPT and any(text in line for text in _VERDICTS):
                self._verdicts += 1
                self._structured(line, was_cut)
        elif self._written + counted > self._limit:
            self._start_dropping(counted)
        elif stream == "log":
            self._structured(line, was_cut)
        else:
            self._plain(stream, line, was_cut)

    def _start_dropping(self, first: int) -> None:
        self._dropped = first
        self.note(
            f"The log of this attempt reached its limit of {self._limit:,} bytes; what follows is not kept.",
            level="warning",
        )

    def _structured(self, line: bytes, was_cut: bool) -> None:
        if NOISE in line:
            return
        try:
            event = self._first_part(line) if was_cut else orjson.loads(line)
            if not isinstance(event, dict):
                raise ValueError
        except ValueError:
            self._plain("log", line[:MAX_LINE_BYTES], len(line) > MAX_LINE_BYTES)
            return
        if "exception" in event:
            event["error_detail"] = event.pop("exception")
            self.ran_out_of_memory |= b'"exc_type":"MemoryError"' in line
            self._put(event, counted=len(line))
        elif was_cut or len(line) > MAX_LINE_BYTES:
            self._put(event, counted=len(line))
        else:
            self._write(line)

    def _first_part(self, line: bytes) -> dict[str, Any]:
        return first_part(line[: MAX_LINE_BYTES // 2], self._masker.mask_end)

    def _plain(self, stream: str, line: bytes, was_cut: bool) -> None:
        text = line.decode("utf-8", errors="replace").rstrip("\r").replace("\x00", "\ufffd")
        if was_cut:
            text = self._masker.mask_end(text)
            text += f" … (line cut at {MAX_LINE_BYTES:,} bytes)"
        level = "error" if stream == "stderr" else "info"
        logger = "task" if stream == "log" else f"task.{stream}"
        self._write(_encoded({"timestamp": _now(), "level": level, "event": text, "logger": logger}))

    def _put(self, event: dict[str, Any], *, counted: int = 0) -> None:
        """Write an event, shortened if need be; what was to be written counts, as the attempt counted it."""
        line = _encoded(event)
        if len(line) > MAX_LINE_BYTES:
            line = _encoded(shortened(event, MAX_LINE_BYTES, self._masker.mask_end))
        self._written += max(0, min(counted, MAX_LINE_BYTES) - len(line))
        self._write(line)

    def _write(self, line: bytes) -> None:
        self._written += len(line)
        # Postgres text cannot hold the character, not even escaped once somebody casts it to jsonb.
        if b"\\u0000" in line:
            line = line.replace(b"\\u0000", b"\\ufffd")
        self._emit(self._masker.mask(line))


def _encoded(event: dict[str, Any]) -> bytes:
    return orjson.dumps(event, default=str)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
