import json
from typing import Any

import pytest

from leoflow.storable import MAX_DEPTH, find_flaw, find_flaw_in, is_too_deep, shown


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("document", "path", "rule"),
    [
        ('{"conf": {"a": [1, "x\\u0000"]}}', "conf.a.1", "NUL"),
        ('{"conf": {"a\\u0000": 1}}', "conf", "NUL"),
        ('{"note": "\\ud800"}', "note", "half a surrogate pair"),
        ('{"note": "\\udc00\\ud800"}', "note", "half a surrogate pair"),
        ('{"a": NaN}', "a", "NaN"),
        ('{"a": [-Infinity]}', "a.0", "NaN, Infinity"),
        ('{"a": 1e400}', "a", "beyond 64-bit floats"),
        (f'{{"a": {nested(MAX_DEPTH + 1)}}}', "a.0.0", "200 levels"),
        (nested(100_000), "", "200 levels"),
        ('{"a": ' + "9" * 5000 + "}", "", "more digits"),
    ],
)
def test_what_cannot_be_kept_is_named(document: str, path: str, rule: str) -> None:
    flaw = find_flaw_in(document.encode())
    assert flaw is not None
    assert (flaw.path, rule in flaw.rule) == (path, True), flaw


def test_text_that_is_not_utf8_is_named() -> None:
    flaw = find_flaw_in(b'{"a": "\xed\xa0\x80"}')
    assert flaw is not None and "not UTF-8 (byte 7)" in flaw.rule


@pytest.mark.parametrize(
    "document",
    [
        '{"a": "\\ud83d\\ude00 ☃ NaN Infinity \\\\u0000 1e400"}',
        json.dumps({"a": 2**200, "b": 1e300, "c": -0.0, "d": 10**4000}),
        nested(MAX_DEPTH + 1),
        json.dumps({"a": [[]] * 1000}),
        "",
        "{broken",
    ],
)
def test_everything_else_is_left_alone(document: str) -> None:
    assert find_flaw_in(document.encode()) is None


def test_the_two_ways_to_look_at_depth_agree() -> None:
    values: list[Any] = [json.loads(nested(depth)) for depth in (1, MAX_DEPTH, MAX_DEPTH + 1, MAX_DEPTH + 2)]
    values.append(json.loads('{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH))
    values.append(json.loads('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1)))
    for value in values:
        assert is_too_deep(value) == (find_flaw(value) is not None)


def test_what_is_shown_of_a_text_can_be_encoded() -> None:
    assert shown("a\x00b\ud800c😀").encode().decode() == "a\ufffdb\ufffdc😀"
