"""Hides secrets in the log lines of one attempt, by the rules of Airflow's secrets masker."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

REPLACEMENT = "***"
MIN_LENGTH = 5
MAX_DEPTH = 5
SENSITIVE_NAMES = (
    "access_key",
    "access_token",
    "api_key",
    "apikey",
    "auth_header",
    "authorization",
    "bearer",
    "connection_string",
    "dsn",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "proxy",
    "proxy_password",
    "proxies",
    "secret",
    "service_account",
    "service_key",
    "token",
    "keyfile_dict",
    "webhook_url",
)
_NEVER_MASKED = {"airflow"}


def is_sensitive(name: str | None) -> bool:
    """Tell whether values under this name are secrets by Airflow's list."""
    if not name:
        return False
    lowered = name.strip().lower()
    return any(part in lowered for part in SENSITIVE_NAMES)


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
        found = {secret for secret in _secrets_in(value, name, 0) if _worth_masking(secret)}
        if not found <= self._secrets:
            self._secrets |= found
            self._pattern = _compile(self._secrets)

    def mask(self, line: bytes) -> bytes:
        """Return the encoded JSON line with every known secret replaced."""
        if self._pattern is None:
            return line
        return self._pattern.sub(REPLACEMENT.encode(), line)


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
