"""Lines of a log that are long, too many, or both."""

import json
import os
from typing import Any

import pytest

from leoflow.runtime.log_limit import Budget, LogFile, Overflow
from leoflow.worker.log_lines import MAX_LINE_BYTES, LogLines
from leoflow.worker.masking import Masker

LIMIT = 200_000
FAILED = "Task failed with exception"


class Log:
    """The lines of one attempt."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.masker = Masker()
        self.written: list[bytes] = []
        self.lines = LogLines(self.written.append, self.masker, limit)

    def feed(self, event: str, level: str = "info", **fields: Any) -> None:
        self.lines.feed("log", encoded(event, level, **fields))

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written]


def encoded(event: str, level: str = "info", **fields: Any) -> bytes:
    """A line as the SDK writes it."""
    line = {"timestamp": "2026-01-01T00:00:00Z", "level": level, "event": event, "logger": "mine", **fields}
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize("text", ["x", '"', "ü", "\U0001f600", "\x01", "\\"], ids=ascii)
@pytest.mark.parametrize("size", [70_000, 2_000_000])
def test_a_long_line_of_a_logger_keeps_its_level_and_as_much_text_as_fits(text: str, size: int) -> None:
    log = Log()
    log.feed("it says " + text * size, "warning")
    log.feed("next")
    first, after = log.events
    assert (first["level"], first["timestamp"]) == ("warning", "2026-01-01T00:00:00Z")
    assert first["event"].startswith("it says " + text * 1000)
    assert "cut)" in first["event"]
    assert max(map(len, log.written)) <= MAX_LINE_BYTES
    assert after["event"] == "next"


def test_a_long_exception_keeps_its_type_and_its_frames() -> None:
    frames = [{"filename": "dag.py", "lineno": number, "name": f"f{number}"} for number in range(200)]
    log = Log()
    log.feed(FAILED, "error", exception=[{"exc_type": "ValueError", "exc_value": "v" * 300_000, "frames": frames}])
    [event] = log.events
    [error] = event["error_detail"]
    assert (event["event"], error["exc_type"]) == (FAILED, "ValueError")
    assert error["exc_value"].startswith("v" * 1000) and "more characters cut" in error["exc_value"]
    assert (error["frames"][0]["name"], error["frames"][-1]["name"]) == ("f0", "f199")


def test_no_beginning_of_a_secret_is_left_where_a_line_is_cut() -> None:
    log = Log(limit=1 << 30)
    log.masker.add("swordfish" * 20)
    for padding in range(0, 180, 7):
        log.feed("x" * padding + ("swordfish" * 20 + "y") * 7000)
        log.feed("short", note="x" * padding + ("swordfish" * 20 + "y") * 2000)
    assert b"swordfish" not in b"".join(log.written)


def test_how_a_task_failed_is_kept_though_its_log_is_full() -> None:
    log = Log()
    for number in range(2000):
        log.feed(f"{number} " + "x" * 500)
    assert log.lines.is_full
    kept = len(log.written)
    log.feed("not kept")
    for _ in range(5):
        log.feed(FAILED, "error", exception=[{"exc_type": "KeyError", "exc_value": "'k'", "frames": []}])
    log.lines.close()
    verdicts = log.events[kept:-1]
    assert [(one["event"], one["error_detail"][0]["exc_type"]) for one in verdicts] == [(FAILED, "KeyError")] * 2
    assert "more bytes of output were dropped" in log.events[-1]["event"]


def test_a_printed_line_that_looks_like_a_failure_is_not_taken_for_one() -> None:
    log = Log()
    log.lines.feed(
        "stdout", b"x" * 60_000 + b"\n" + b"y" * 60_000 + b"\n" + b"z" * 60_000 + b"\n" + b"a" * 60_000 + b"\n"
    )
    assert log.lines.is_full
    kept = len(log.written)
    log.lines.feed("stdout", encoded(FAILED))
    log.feed(f'{{"event":"{FAILED}"}}')
    assert len(log.written) == kept


@pytest.mark.parametrize(
    "line",
    [
        encoded("x" * 100),
        encoded("x" * 70_000),
        encoded('"' * 70_000),
        encoded("x" * 2_000_000),
        encoded("Pushing xcom"),
        encoded(FAILED, exception=[{"exc_type": "E", "exc_value": "v" * 100_000, "frames": []}]),
        b"no json\n",
    ],
    ids=["short", "long", "quotes", "very long", "noise", "exception", "no json"],
)
def test_an_attempt_stops_logging_only_once_the_worker_has_cut_its_log(line: bytes) -> None:
    log = Log()
    null = os.open(os.devnull, os.O_WRONLY)
    budget = Budget(LIMIT)
    file = LogFile(null)
    file.limit(budget, Overflow(null))
    for _ in range(5_000):
        if budget.is_spent:
            break
        file.write(line)
        log.lines.feed("log", line)
    os.close(null)
    assert log.lines.is_full or not budget.is_spent
    assert budget.is_spent or line in (encoded("Pushing xcom"), b"no json\n")
