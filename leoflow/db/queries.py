"""Loads named SQL statements from `sql/queries/<noun>.sql`.

A file is a list of statements, each under `-- name: <name>`; comment lines right below say what it does:

    -- name: due_runs
    -- The runs whose time has come, oldest first.
    select …
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from leoflow.share import share_dir

_NAME = re.compile(r"^--\s*name:\s*(\w+)\s*$", re.MULTILINE)


class Queries(Mapping[str, str]):
    """The statements of one file, by item or by attribute."""

    def __init__(self, source: Path, statements: dict[str, str]) -> None:
        self._source = source
        self._statements = statements

    def __getitem__(self, name: str) -> str:
        return self._statements[name]

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"no query {name!r} in {self._source}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)


@cache
def load(noun: str) -> Queries:
    """The queries of `sql/queries/<noun>.sql`.

    Raises:
        ValueError: two statements have one name, or text stands before the first name.
    """
    return parse(share_dir("sql") / "queries" / f"{noun}.sql")


def parse(file: Path) -> Queries:
    """Read one file of named queries."""
    head, *parts = _NAME.split(file.read_text())
    if any(line.strip() and not line.startswith("--") for line in head.splitlines()):
        raise ValueError(f"{file}: a statement stands before the first `-- name:`")
    statements: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in statements:
            raise ValueError(f"{file}: two queries are named {name!r}")
        statements[name] = body.strip().rstrip(";").strip()
    return Queries(file, statements)
