"""Reads of views as dicts, and the one shape all collections are read in."""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from leoflow.api.deps import Connection
from leoflow.api.filters import Where
from leoflow.api.paging import Cursor, CursorPage, Order, Page, cursor_page

Parameters = Sequence[Any] | Mapping[str, Any]
Query = str | sql.Composable  # a named query, or one composed of literals
Row = dict[str, Any]
jsonb = Jsonb  # a parameter of type jsonb


def _statement(query: Query) -> bytes | sql.Composed | sql.SQL:
    if isinstance(query, str):
        return query.encode()
    assert isinstance(query, sql.Composed | sql.SQL)
    return query


async def rows(conn: Connection, query: Query, parameters: Parameters = ()) -> list[Row]:
    """Run a statement and return its rows."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_statement(query), parameters)
        return await cursor.fetchall()


async def row(conn: Connection, query: Query, parameters: Parameters = ()) -> Row | None:
    """Run a statement and return its first row."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_statement(query), parameters)
        return await cursor.fetchone()


async def execute(conn: Connection, query: Query, parameters: Parameters = ()) -> int:
    """Run a statement and return how many rows it changed."""
    return (await conn.execute(_statement(query), parameters)).rowcount


async def value(conn: Connection, query: Query, parameters: Parameters = ()) -> Any:
    """Run a statement and return the first column of its first row, None without rows."""
    cursor = await conn.execute(_statement(query), parameters)
    found = await cursor.fetchone()
    return found[0] if found else None


async def listing(
    conn: Connection, relation: LiteralString, where: Where, order: Order, page: Page
) -> tuple[list[Row], int]:
    """Read one page of a relation (`leoflow_core.api_pools p`), and how many rows there are in all."""
    found = await rows(
        conn,
        sql.SQL("select * from {} {} order by {} limit %s offset %s").format(
            sql.SQL(relation), where.sql(), order.sql()
        ),
        [*where.parameters, page.limit, page.offset],
    )
    if page.offset == 0 and len(found) < page.limit:
        return found, len(found)
    total = await value(
        conn, sql.SQL("select count(*) from {} {}").format(sql.SQL(relation), where.sql()), where.parameters
    )
    return found, total


async def cursor_listing(
    conn: Connection, relation: LiteralString, where: Where, order: Order, cursor: Cursor, limit: int
) -> CursorPage:
    """Read one page of a relation in cursor mode: no total, but the cursors of the neighbours."""
    if cursor.keys is not None:
        condition, parameters = order.beyond(cursor.keys, backwards=cursor.backwards)
        where.add(condition, *parameters)
    found = await rows(
        conn,
        sql.SQL("select * from {} {} order by {} limit %s").format(
            sql.SQL(relation), where.sql(), order.sql(backwards=cursor.backwards)
        ),
        [*where.parameters, limit + 1],
    )
    return cursor_page(found, cursor, order, limit)


async def page_of(
    conn: Connection, relation: LiteralString, where: Where, order: Order, page: Page, cursor: str | None
) -> tuple[list[Row], dict[str, Any]]:
    """Read one page of a relation in the mode the client chose, and what Airflow's API says about the other pages.

    Args:
        conn: the database.
        relation: what to read, with an alias.
        where: its conditions.
        order: its order.
        page: size, and offset when there is no cursor.
        cursor: None for pages by offset (total_entries); empty for the first page in cursor mode.
    """
    if cursor is None:
        found, total = await listing(conn, relation, where, order, page)
        return found, {"total_entries": total}
    slice_ = await cursor_listing(conn, relation, where, order, Cursor.decode(cursor), page.limit)
    return slice_.rows, {"next_cursor": slice_.next_cursor, "previous_cursor": slice_.previous_cursor}
