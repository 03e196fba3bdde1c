"""Which JSON Postgres can keep and every answer can carry; `leoflow_core.is_too_deep` knows the same depth."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 200
"""Levels of objects and lists in each other; what writes answers gives up at 255, and adds a few."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_SUSPECT = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]|NaN|Infinity|\d[eE]\+?\d{3}|(?<!\d)\d{4301}")


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a document.

    Attributes:
        path: of the value concerned, `conf.list.3`; empty for the document itself.
        rule: what it breaks; a remedy follows after a semicolon.
    """

    path: str
    rule: str

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}" if self.path else self.rule


def find_flaw(value: Any) -> Flaw | None:
    """Return the first thing in a JSON value that cannot be kept: NUL, half a surrogate pair, NaN, too deep."""
    stack: list[tuple[Any, tuple[str, ...]]] = [(value, ())]
    while stack:
        item, path = stack.pop()
        if rule := _rule(item, len(path)):
            return Flaw(".".join(path if len(path) <= MAX_DEPTH else path[:3]), rule)
        if isinstance(item, Mapping):
            for key in item:
                if rule := _rule(str(key), 0):
                    return Flaw(".".join(path), f"a key: {rule}")
            stack.extend((each, (*path, str(key))) for key, each in item.items())
        elif isinstance(item, Sequence) and not isinstance(item, str | bytes):
            stack.extend((each, (*path, str(number))) for number, each in enumerate(item))
    return None


def find_flaw_in(document: bytes) -> Flaw | None:
    """The same of an encoded document; one that is no JSON is left to whoever parses it.

    Only a document that may have a flaw is parsed here.
    """
    try:
        document.decode()
    except UnicodeDecodeError as error:
        return Flaw("", f"the text is not UTF-8 (byte {error.start})")
    nested = document.count(b"[") + document.count(b"{") > MAX_DEPTH
    if not nested and not _SUSPECT.search(document):
        return None
    try:
        value = json.loads(document)
    except RecursionError:
        return Flaw("", _TOO_DEEP)
    except json.JSONDecodeError:
        return None
    except ValueError:
        return Flaw("", "a number has more digits than can be read (4300)")
    return find_flaw(value) if is_too_deep(value) or _SUSPECT.search(document) else None


def is_too_deep(value: Any) -> bool:
    """Whether lists and objects are nested more than MAX_DEPTH levels deep."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            each
            for item in level
            for each in (item.values() if isinstance(item, dict) else item)
            if isinstance(each, dict | list)
        ]
    return any(level)


def shown(text: str) -> str:
    """Return a text whose NUL characters and half surrogate pairs are replaced by the sign for what cannot be shown."""
    return _SURROGATE.sub("\ufffd", text).replace("\x00", "\ufffd")


_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep; keep deep data in a file"


def _rule(item: Any, depth: int) -> str | None:
    if isinstance(item, str):
        if "\x00" in item:
            return "a NUL character cannot be stored; remove it"
        return "half a surrogate pair cannot be stored; send whole characters" if _SURROGATE.search(item) else None
    if isinstance(item, float) and not math.isfinite(item):
        return "NaN, Infinity and numbers beyond 64-bit floats are not JSON; send null or a text"
    return _TOO_DEEP if depth > MAX_DEPTH else None
