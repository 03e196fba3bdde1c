"""Limit and offset, `order_by`, and cursor pagination, with Airflow's limits and messages.

A resource declares its sortable fields once:

    ORDER = Ordering({"run_after": "r.run_after", "id": "r.run_key"}, default="id", unique="id")

and asks `ORDER.parse(order_by)` for an `Order`, whose `sql()` goes after `order by`.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, LiteralString

import orjson
from fastapi import Depends, HTTPException, Query
from psycopg import sql
from pydantic import NonNegativeInt

FALLBACK_PAGE_LIMIT = 50
MAXIMUM_PAGE_LIMIT = 100
MAX_SORT_PARAMETERS = 10

Condition = tuple[sql.Composable, list[Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a collection; `limit` is already capped."""

    limit: int
    offset: int


def page(
    limit: Annotated[NonNegativeInt, Query()] = FALLBACK_PAGE_LIMIT,
    offset: Annotated[NonNegativeInt, Query()] = 0,
) -> Page:
    """FastAPI dependency: `?limit=&offset=`."""
    return Page(min(limit, MAXIMUM_PAGE_LIMIT), offset)


Paged = Annotated[Page, Depends(page)]


@dataclass(frozen=True, slots=True)
class Term:
    """One sort key: the API's field name, the SQL expression, and the direction."""

    field: str
    expression: LiteralString
    descending: bool

    def after(self, value: Any, *, or_same: bool = False) -> Condition:
        """Rows that come later than `value` by this key alone: nulls last ascending, first descending."""
        return self._beyond(value, descending=self.descending, or_same=or_same)

    def before(self, value: Any, *, or_same: bool = False) -> Condition:
        """Rows that come earlier than `value` by this key alone."""
        return self._beyond(value, descending=not self.descending, or_same=or_same)

    def _beyond(self, value: Any, *, descending: bool, or_same: bool) -> Condition:
        """Build the comparison; reading backwards is reading in the opposite direction."""
        expression = sql.SQL(self.expression)
        if value is None and descending:
            return sql.SQL("true") if or_same else sql.SQL("{0} is not null").format(expression), []
        if value is None:
            return sql.SQL("{0} is null").format(expression) if or_same else sql.SQL("false"), []
        operator = sql.SQL(("<" if descending else ">") + ("=" if or_same else ""))
        if descending:
            return sql.SQL("{0} {1} %s").format(expression, operator), [value]
        return sql.SQL("({0} {1} %s or {0} is null)").format(expression, operator), [value]

    def same(self, value: Any) -> Condition:
        """Rows that this key does not tell apart from `value`."""
        if value is None:
            return sql.SQL("{0} is null").format(sql.SQL(self.expression)), []
        return sql.SQL("{0} = %s").format(sql.SQL(self.expression)), [value]


@dataclass(frozen=True, slots=True)
class Order:
    """A parsed `order_by`, ending in a unique key so that pages never overlap."""

    terms: tuple[Term, ...]

    def sql(self, *, backwards: bool = False) -> sql.Composable:
        """Write the list for `order by`: Postgres' order of nulls, as in Airflow, so that indexes serve it."""
        parts = [
            sql.SQL("{0} desc" if term.descending is not backwards else "{0} asc").format(sql.SQL(term.expression))
            for term in self.terms
        ]
        return sql.SQL(", ").join(parts)

    def beyond(self, values: Sequence[Any], *, backwards: bool = False) -> Condition:
        """Write the condition for rows after (or before) the row with these key values.

        Nested, `a <= x and (a < x or (a = x and …))`, so that the leading key is a range of its index.
        """
        if len(values) != len(self.terms):
            raise HTTPException(400, "Invalid cursor token")
        return _beyond(self.terms, values, backwards)

    def key(self, row: Mapping[str, Any]) -> list[Any]:
        """Read the key values of a row whose columns are named after the fields."""
        return [row[term.field] for term in self.terms]


def _beyond(terms: Sequence[Term], values: Sequence[Any], backwards: bool) -> Condition:
    term, value = terms[0], values[0]
    side = term.before if backwards else term.after
    strict, strict_values = side(value)
    if len(terms) == 1:
        return strict, strict_values
    weak, weak_values = side(value, or_same=True)
    same, same_values = term.same(value)
    rest, rest_values = _beyond(terms[1:], values[1:], backwards)
    condition = sql.SQL("({0} and ({1} or ({2} and {3})))").format(weak, strict, same, rest)
    return condition, [*weak_values, *strict_values, *same_values, *rest_values]


class Ordering:
    """The fields a collection may be sorted by.

    Args:
        fields: API field name → SQL expression (written by us, never by the caller).
        default: the field to sort by when nothing is asked.
        unique: a field that tells all rows apart; appended to every order.
    """

    def __init__(self, fields: Mapping[str, LiteralString], *, default: str, unique: str) -> None:
        self._fields = dict(fields)
        self._default = default
        self._unique = unique

    def parse(self, order_by: Sequence[str] | None) -> Order:
        """Check and parse repeated `order_by` parameters.

        Raises:
            HTTPException: 400 with Airflow's text for an unknown field or too many of them.
        """
        asked = list(order_by or [self._default])
        if len(asked) > MAX_SORT_PARAMETERS:
            raise HTTPException(
                400,
                f"Ordering with more than {MAX_SORT_PARAMETERS} parameters is not allowed. Provided: {asked}",
            )
        terms = [self._term(item) for item in asked]
        if all(term.field != self._unique for term in terms):
            descending = terms[0].descending
            terms.append(Term(self._unique, self._fields[self._unique], descending))
        return Order(tuple(terms))

    def _term(self, item: str) -> Term:
        field = item.lstrip("-")
        if field not in self._fields:
            raise HTTPException(
                400,
                f"Ordering with '{field}' is disallowed or the attribute does not exist on the model",
            )
        return Term(field, self._fields[field], item.startswith("-"))


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in an ordered collection: the keys of a row, and which way to read from it.

    `keys` is None for the first page (the UI sends an empty `cursor=` to ask for it).
    """

    keys: tuple[Any, ...] | None = None
    backwards: bool = False

    def encode(self) -> str:
        """Write the opaque text that goes to the client."""
        document = orjson.dumps([int(self.backwards), *(self.keys or ())], default=str)
        return base64.urlsafe_b64encode(document).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Read a client's cursor.

        Raises:
            HTTPException: 400 when the text is not one of ours.
        """
        if not text:
            return cls()
        try:
            values = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return cls(tuple(values[1:]), bool(values[0]))
        except (binascii.Error, orjson.JSONDecodeError, TypeError, IndexError, ValueError) as error:
            raise HTTPException(400, "Invalid cursor token") from error


@dataclass(frozen=True, slots=True)
class CursorPage:
    """The rows of one page, in order, and the cursors of its neighbours (None at the ends)."""

    rows: list[dict[str, Any]]
    next_cursor: str | None
    previous_cursor: str | None


def cursor_page(rows: list[dict[str, Any]], cursor: Cursor, order: Order, limit: int) -> CursorPage:
    """Make a page of rows read with `limit + 1` in reading direction."""
    more = len(rows) > limit
    rows = rows[:limit]
    if cursor.backwards:
        rows.reverse()
    has_next = bool(rows) and (more or cursor.backwards)
    has_previous = bool(rows) and (more if cursor.backwards else cursor.keys is not None)
    return CursorPage(
        rows,
        Cursor(tuple(order.key(rows[-1]))).encode() if has_next else None,
        Cursor(tuple(order.key(rows[0])), backwards=True).encode() if has_previous else None,
    )
