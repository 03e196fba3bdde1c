"""What an attempt prints, and where it comes out."""

import io
import json
import os
from collections.abc import Iterator

import pytest

from leoflow.runtime.printing import Budget, PrintedLines


class Pipes:
    """A stream over two pipes."""

    def __init__(self) -> None:
        self._plain, plain = os.pipe()
        self._log, log = os.pipe()
        os.set_blocking(self._plain, False)
        os.set_blocking(self._log, False)
        self._open = [self._plain, plain, self._log, log]
        raw = PrintedLines(plain, log, "task.stdout", "info")
        self.stream = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", line_buffering=True)

    def plain(self) -> bytes:
        return self._read(self._plain)

    def logged(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self._read(self._log).splitlines()]

    def close(self) -> None:
        self.stream.detach().detach()
        for descriptor in self._open:
            os.close(descriptor)

    @staticmethod
    def _read(descriptor: int) -> bytes:
        try:
            return os.read(descriptor, 1_000_000)
        except BlockingIOError:
            return b""


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    made.close()


def test_complete_lines_are_logged_with_their_time(pipes: Pipes) -> None:
    print("one\ntwo", file=pipes.stream)
    logged = pipes.logged()
    assert [(line["event"], line["logger"], line["level"]) for line in logged] == [
        ("one", "task.stdout", "info"),
        ("two", "task.stdout", "info"),
    ]
    assert all(line["timestamp"].endswith("Z") for line in logged)
    assert pipes.plain() == b""


def test_parts_of_a_line_stay_together_on_the_plain_pipe(pipes: Pipes) -> None:
    print("half", end="", file=pipes.stream, flush=True)
    print(" whole", file=pipes.stream)
    print("next", file=pipes.stream)
    assert pipes.plain() == b"half whole\n"
    assert [line["event"] for line in pipes.logged()] == ["next"]


def test_the_end_of_the_last_line_may_be_missing(pipes: Pipes) -> None:
    print("one\ntwo", end="", file=pipes.stream, flush=True)
    assert [line["event"] for line in pipes.logged()] == ["one"]
    pipes.stream.buffer.raw.finish()
    assert pipes.plain() == b"two"


def test_a_very_long_line_takes_the_plain_pipe(pipes: Pipes) -> None:
    print("x" * 5000, file=pipes.stream)
    assert pipes.plain() == b"x" * 5000 + b"\n"
    assert pipes.logged() == []


def test_bytes_that_are_not_text_do_not_break_the_log(pipes: Pipes) -> None:
    pipes.stream.buffer.write(b"\xff\xfe\x00 binary\n")
    pipes.stream.flush()
    assert [line["event"] for line in pipes.logged()] == ["\ufffd\ufffd\x00 binary"]


def test_what_is_printed_beyond_the_limit_is_passed_on_as_it_is_and_in_blocks(pipes: Pipes) -> None:
    pipes.stream.buffer.raw._budget = Budget(10_000 - 2 * 65_536)  # less what may be in the pipes
    for _ in range(40):
        print("x" * 999, file=pipes.stream)
    assert 8 < len(pipes.logged()) < 12
    assert pipes.plain() == b"", "less than a block was printed since"
    print("half", end="", file=pipes.stream, flush=True)
    pipes.stream.buffer.raw.finish()
    assert pipes.plain().endswith(b"x\nhalf")
    assert pipes.logged() == []
