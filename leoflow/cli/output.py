"""How commands print data: a table for people, one JSON or YAML document for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer


class Output(StrEnum):
    """The formats of `--output`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="table, json or yaml.", show_choices=False)]


def print_rows(rows: Sequence[Mapping[str, Any]], output: Output, *, columns: Sequence[str] | None = None) -> None:
    """Print rows of equal keys to stdout."""
    if output is Output.TABLE:
        _print_table(rows, list(columns or (rows[0] if rows else ())))
    else:
        print_document([dict(row) for row in rows], output)


def show(document: Mapping[str, Any], output: Output) -> None:
    """Print one thing: its fields one a line, or the document."""
    if output is Output.TABLE:
        print_rows([{"field": name, "value": value} for name, value in document.items()], output)
    else:
        print_document(dict(document), output)


def print_document(document: Any, output: Output) -> None:
    """Print one JSON or YAML document to stdout."""
    if output is Output.YAML:
        import yaml

        sys.stdout.write(yaml.safe_dump(json.loads(_json(document)), sort_keys=False, allow_unicode=True))
    else:
        print(_json(document))


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode(errors="replace")
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if isoformat else str(value)


def _print_table(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> None:
    """Bordered on a terminal; tab-separated in a pipe, so that nothing is cut."""
    if not sys.stdout.isatty():
        print("\t".join(columns))
        for row in rows:
            print("\t".join(_cell(row.get(name)) for name in columns))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(row.get(name)).replace("[", r"\[") for name in columns))
    Console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return str(_plain(value) if not isinstance(value, str | int | float | bool) else value)
