"""Collects SQL conditions with their parameters; values never become SQL text.

where = Where()
where.any_of("r.state::text", state)
where.range("r.run_after", gte=run_after_gte, lte=run_after_lte)
await conn.execute(sql.SQL("select … from leoflow.dag_runs r {}").format(where.sql()), where.parameters)
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString

from psycopg import sql


class Where:
    """A conjunction of conditions; a filter whose value is None or empty adds none."""

    def __init__(self) -> None:
        self._conditions: list[sql.Composable] = []
        self.parameters: list[Any] = []

    def add(self, condition: LiteralString | sql.Composable, *values: Any) -> None:
        """Add a condition with one `%s` per value."""
        self._conditions.append(sql.SQL(condition) if isinstance(condition, str) else condition)
        self.parameters.extend(values)

    def equals(self, expression: LiteralString, value: Any) -> None:
        """Require equality, unless the value is None."""
        if value is not None:
            self.add(expression + " = %s", value)

    def any_of(self, expression: LiteralString, values: Sequence[Any] | None) -> None:
        """Require one of the values, unless there are none."""
        if values:
            self.add(expression + " = any(%s)", list(values))

    def range(
        self,
        expression: LiteralString,
        *,
        gte: datetime | float | None = None,
        gt: datetime | float | None = None,
        lte: datetime | float | None = None,
        lt: datetime | float | None = None,
    ) -> None:
        """Require the bounds that are given."""
        bounds: tuple[tuple[LiteralString, Any], ...] = ((">=", gte), (">", gt), ("<=", lte), ("<", lt))
        for operator, value in bounds:
            if value is not None:
                self.add(expression + " " + operator + " %s", value)

    def contains(self, expression: LiteralString, pattern: str | None) -> None:
        """Airflow's `*_pattern`: SQL `ilike` anywhere in the text, `|` separates alternatives, `~` matches all."""
        alternatives = _alternatives(pattern)
        if alternatives:
            self._any(expression + " ilike %s", [f"%{item}%" for item in alternatives])

    def starts_with(self, expression: LiteralString, prefix: str | None) -> None:
        """Airflow's `*_prefix_pattern`: case-sensitive prefix, `|` separates alternatives, empty matches all."""
        alternatives = _alternatives(prefix)
        if alternatives:
            self._any("starts_with(" + expression + ", %s)", alternatives)

    def _any(self, condition: LiteralString, values: Sequence[str]) -> None:
        self.add(sql.SQL("(") + sql.SQL(" or ").join([sql.SQL(condition)] * len(values)) + sql.SQL(")"), *values)

    def sql(self) -> sql.Composable:
        """Write `where …`, or nothing."""
        if not self._conditions:
            return sql.SQL("")
        return sql.SQL("where ") + sql.SQL(" and ").join(self._conditions)


def _alternatives(pattern: str | None) -> list[str]:
    if pattern is None or pattern == "~":
        return []
    return [item for item in (part.strip() for part in pattern.split("|")) if item]
