"""Structured log lines as a terminal shows them."""

from leoflow.cli.log_text import text_of

FRAME = {"filename": "dag.py", "lineno": 7, "name": "load"}


def error(kind: str, text: str, **fields: object) -> dict[str, object]:
    return {"exc_type": kind, "exc_value": text, "exc_notes": [], "frames": [FRAME], "exceptions": [], **fields}


def test_what_was_logged_beside_the_event_is_shown() -> None:
    line = {"timestamp": "t", "level": "info", "event": "Skipping task.", "logger": "task", "reason": "not today"}
    assert text_of(line | {"ti_id": "x", "try_number": 1, "nothing": None}) == "Skipping task. reason=not today"
    assert text_of({"event": "plain"}) == "plain"


def test_exceptions_are_shown_from_the_first_to_the_last_with_their_notes() -> None:
    details = [
        error("RuntimeError", "outer"),
        error("KeyError", "'x'\nmore", is_cause=True, exc_notes=["a note"]),
        error("OSError", "gone", is_cause=False),
    ]
    assert text_of({"event": "Task failed with exception", "error_detail": details}).splitlines() == [
        "Task failed with exception",
        "  dag.py:7 in load",
        "  OSError: gone",
        "  and then, while it was handled:",
        "  dag.py:7 in load",
        "  KeyError: 'x'",
        "  more",
        "  a note",
        "  which caused:",
        "  dag.py:7 in load",
        "  RuntimeError: outer",
    ]


def test_members_of_groups_are_shown_below_them() -> None:
    group = error("ExceptionGroup", "many", exceptions=[[error("ValueError", "a")], [error("TypeError", "b")]])
    assert [line for line in text_of({"event": "x", "error_detail": [group]}).splitlines() if "Error" in line] == [
        "    ValueError: a",
        "    TypeError: b",
    ]
