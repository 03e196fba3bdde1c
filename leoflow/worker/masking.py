"""Hides secrets in the log lines of one attempt, by the rules of Airflow's secrets masker."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from leoflow.execution.sensitive import is_sensitive

REPLACEMENT = "***"
MIN_LENGTH = 5
MIN_LINE_LENGTH = 12
"""Shorter lines of a longer secret say nothing by themselves, and would hide half the log."""
MAX_DEPTH = 5
_NEVER_MASKED = {"airflow"}


class Masker:
    """The secrets one attempt has seen. Masks encoded log lines."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[bytes] | None = None

    def add(self, value: Any, name: str | None = None) -> None:
        """Hide `value` from now on.

        With a name, only if the name is sensitive; of a mapping, the values under sensitive names; of a list,
        each item under the same name.
        """
        found = {part for secret in _secrets_in(value, name, 0) for part in _parts(secret) if _worth_masking(part)}
        if not found <= self._secrets:
            self._secrets |= found
            self._pattern = _compile(self._secrets)

    def mask(self, line: bytes) -> bytes:
        """Return the encoded JSON line with every known secret replaced."""
        if self._pattern is None:
            return line
        return self._pattern.sub(REPLACEMENT.encode(), line)

    def mask_end(self, text: str) -> str:
        """Return a text that was cut off, without the beginning of a secret it may end with."""
        longest = 0
        for secret in self._secrets:
            for length in range(min(len(secret) - 1, len(text)), longest, -1):
                if text.endswith(secret[:length]):
                    longest = length
                    break
        return text[: len(text) - longest] + REPLACEMENT if longest else text


def _secrets_in(value: Any, name: str | None, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH or value is None:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _secrets_in(item, str(key), depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secrets_in(item, name, depth + 1)
    elif isinstance(value, str) and (name is None or is_sensitive(name)):
        yield value


def _parts(secret: str) -> Iterator[str]:
    """Yield a secret and, since a log goes line by line, the lines of one that has several (a private key)."""
    yield secret
    lines = [line.strip() for line in secret.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= MIN_LINE_LENGTH and not line.startswith("-----"))


def _worth_masking(secret: str) -> bool:
    return len(secret) >= MIN_LENGTH and secret.lower() not in _NEVER_MASKED


def _compile(secrets: set[str]) -> re.Pattern[bytes]:
    """Match each secret as it looks inside a JSON string; the longest first, so none leaves its tail visible."""
    forms: set[bytes] = set()
    for secret in secrets:
        forms.add(orjson.dumps(secret)[1:-1])
        forms.add(_ascii_escaped(secret))
    return re.compile(b"|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))


def _ascii_escaped(secret: str) -> bytes:
    """The form json.dumps gives a string with its default of ASCII output."""
    encoded = orjson.dumps(secret)[1:-1].decode()
    return "".join(char if char.isascii() else _escape(char) for char in encoded).encode()


def _escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{int.from_bytes(units[i : i + 2], 'big'):04x}" for i in range(0, len(units), 2))
