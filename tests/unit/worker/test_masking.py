"""What counts as a secret, and that it never reaches a log, whatever it looks like in there."""

import json

import orjson
import pytest

from leoflow.worker.log_lines import MAX_LINE_BYTES, LogLines
from leoflow.worker.masking import Masker

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAgEAAoIBAQ==\n-----END PRIVATE KEY-----\n"


def logged(masker: Masker, *pieces: bytes, stream: str = "stdout", limit: int = 1 << 20) -> str:
    lines: list[bytes] = []
    log = LogLines(lines.append, masker, limit)
    for piece in pieces:
        log.feed(stream, piece)
    log.close()
    return "\n".join(str(orjson.loads(line)["event"]) for line in lines)


@pytest.mark.parametrize(
    "secret", ["swordfish", 'quo"te\\d', "pässwört", "emoji 🔑 key", "tab\tand more", "a.*b[c]", "x" * 10_000]
)
def test_a_secret_is_hidden_however_json_writes_it(secret: str) -> None:
    masker = Masker()
    masker.add(secret)
    for line in (orjson.dumps({"event": f"<{secret}>"}), json.dumps({"event": f"<{secret}>"}).encode()):
        assert orjson.loads(masker.mask(line))["event"] == "<***>"


def test_a_secret_split_over_reads_of_the_pipe_is_hidden() -> None:
    masker = Masker()
    masker.add("swordfish")
    for at in range(1, 9):
        assert logged(masker, b"a " + b"swordfish"[:at], b"swordfish"[at:] + b" b\n") == "a *** b"


def test_a_line_is_not_cut_in_the_middle_of_a_secret() -> None:
    masker = Masker()
    masker.add("swordfish")
    for shown in range(1, 9):
        text = logged(masker, b"." * (MAX_LINE_BYTES - shown) + b"swordfish and much more\n")
        assert text.startswith("..." * 100) and "sword" not in text and "...s" not in text
        assert "***" in text and "line cut at" in text


def test_the_lines_of_a_private_key_are_hidden_one_by_one() -> None:
    masker = Masker()
    masker.add(KEY)
    text = logged(masker, KEY.encode())
    assert "MII" not in text and "EFAA" not in text
    assert "BEGIN PRIVATE KEY" in text


def test_sensitive_names_decide_in_nested_values_and_short_values_are_left() -> None:
    masker = Masker()
    masker.add({"user": "visible-user", "api_key": "hidden-key", "deep": [{"Password": "hidden-pass"}], "token": "abc"})
    text = masker.mask(b"visible-user hidden-key hidden-pass abc").decode()
    assert text == "visible-user *** *** abc"


def test_the_longest_secret_wins_over_its_own_beginning() -> None:
    masker = Masker()
    masker.add(["swordfish", "swordfish-and-chips"])
    assert masker.mask(b"swordfish-and-chips") == b"***"
