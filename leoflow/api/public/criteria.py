"""Query parameters that come in families: ranges (`run_after_gte` …) and patterns (`run_id_pattern` …)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from inspect import Parameter, Signature
from typing import Annotated, Any, Literal, LiteralString

from fastapi import HTTPException
from pydantic import AfterValidator, BeforeValidator, Field

from leoflow.api.filters import Where

_PLUS_READ_AS_SPACE = re.compile(r" (\d\d:?\d\d)$")


def _restore_plus(value: Any) -> Any:
    """An unescaped `+00:00` arrives as a space."""
    return _PLUS_READ_AS_SPACE.sub(r"+\1", value) if isinstance(value, str) else value


def _aware(value: datetime) -> datetime:
    """A time without zone is UTC."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


Moment = Annotated[datetime, BeforeValidator(_restore_plus), AfterValidator(_aware)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Small = Annotated[int, Field(ge=-(2**31), lt=2**31)]

_OPERATORS = ("gte", "gt", "lte", "lt")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a range; None where there is none."""

    gte: Any = None
    gt: Any = None
    lte: Any = None
    lt: Any = None

    def apply(self, where: Where, expression: LiteralString) -> None:
        """Add the conditions."""
        where.range(expression, gte=self.gte, gt=self.gt, lte=self.lte, lt=self.lt)

    @classmethod
    def of(cls, name: str, given: Mapping[str, Any]) -> "Bounds":
        """Pick `<name>_gte` and so on from a mapping."""
        return cls(*(given.get(f"{name}_{operator}") for operator in _OPERATORS))


@dataclass(frozen=True, slots=True)
class Pattern:
    """A search in a text, anywhere (`contains`) and from its start (`prefix`)."""

    contains: str | None = None
    prefix: str | None = None

    def apply(self, where: Where, expression: LiteralString) -> None:
        """Add the conditions."""
        where.contains(expression, self.contains)
        where.starts_with(expression, self.prefix)


def moments(name: str) -> Callable[..., Bounds]:
    """Make a dependency that reads a range of times."""
    return _dependency(lambda given: Bounds.of(name, given), [f"{name}_{op}" for op in _OPERATORS], Moment | None)


def numbers(name: str) -> Callable[..., Bounds]:
    """Make a dependency that reads a range of numbers."""
    return _dependency(lambda given: Bounds.of(name, given), [f"{name}_{op}" for op in _OPERATORS], Number | None)


def pattern(name: str) -> Callable[..., Pattern]:
    """Make a dependency that reads `<name>_pattern` and `<name>_prefix_pattern`."""
    names = [f"{name}_pattern", f"{name}_prefix_pattern"]
    return _dependency(lambda given: Pattern(*(given[key] for key in names)), names, str | None)


def _dependency(make: Callable[[dict[str, Any]], Any], names: list[str], annotation: Any) -> Callable[..., Any]:
    def read(**given: Any) -> Any:
        return make(given)

    parameters = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation) for name in names]
    read.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return read


def states(given: list[str] | None, allowed: type) -> tuple[list[str], bool]:
    """Read repeated `state=` parameters: the states, and whether `none` (no status) was among them.

    Raises:
        HTTPException: 422 for a state that does not exist.
    """
    known = {str(item.value) for item in allowed}  # type: ignore[attr-defined]
    wanted = given or []
    for state in wanted:
        if state not in known and state not in ("none", "no_status"):
            raise HTTPException(422, f"Invalid value for state. Valid values are {', '.join(sorted(known))}")
    return [state for state in wanted if state in known], any(state not in known for state in wanted)


def all_or(value: str) -> str | None:
    """Read a path parameter where `~` stands for all."""
    return None if value == "~" else value


Wildcard = Literal["~"]
