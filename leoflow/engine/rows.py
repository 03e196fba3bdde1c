"""Calls of SQL functions and their rows as dataclasses."""

from collections.abc import Sequence
from typing import Any, LiteralString, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import class_row, tuple_row

Connection = AsyncConnection[Any]
T = TypeVar("T")


async def all_rows(conn: Connection, query: LiteralString, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows as tuples, whatever the connection's row factory."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query, params)
        return await cursor.fetchall()


async def all_of(conn: Connection, kind: type[T], query: LiteralString, params: Sequence[Any] = ()) -> list[T]:
    """All rows as instances of `kind`, by column name."""
    async with conn.cursor(row_factory=class_row(kind)) as cursor:
        await cursor.execute(query, params)
        return await cursor.fetchall()


async def one(conn: Connection, query: LiteralString, params: Sequence[Any] = ()) -> tuple[Any, ...]:
    """The only row."""
    rows = await all_rows(conn, query, params)
    return rows[0]


async def value(conn: Connection, query: LiteralString, params: Sequence[Any] = ()) -> Any:
    """The only value of the only row."""
    return (await one(conn, query, params))[0]
