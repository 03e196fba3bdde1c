"""Runs named or composed statements and returns rows as dicts."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow, dict_row

Connection = AsyncConnection[TupleRow]
Parameters = Sequence[Any] | Mapping[str, Any]
Row = dict[str, Any]


async def rows(conn: Connection, query: str | sql.Composable, parameters: Parameters = ()) -> list[Row]:
    """Run a statement from `sql/queries` (or one composed of literals) and return its rows."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_statement(query), parameters)
        return await cursor.fetchall()


async def row(conn: Connection, query: str | sql.Composable, parameters: Parameters = ()) -> Row | None:
    """Run a statement and return its first row, if any."""
    found = await rows(conn, query, parameters)
    return found[0] if found else None


async def value(conn: Connection, query: str | sql.Composable, parameters: Parameters = ()) -> Any:
    """Run a statement and return the first column of its first row; None without rows."""
    found = await row(conn, query, parameters)
    return next(iter(found.values())) if found else None


def _statement(query: str | sql.Composable) -> bytes | sql.Composed | sql.SQL:
    if isinstance(query, str):
        return query.encode()
    assert isinstance(query, sql.Composed | sql.SQL)
    return query
