"""What the operations know about the attempt that asks, and the database they ask."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from leoflow.config import Settings
from leoflow.crypto import SecretBox
from leoflow.db import Pool
from leoflow.engine import ClaimedAttempt, XComValue
from leoflow.execution.access import SecretAccess

if TYPE_CHECKING:
    from leoflow.execution.xcoms import ReduceInputs

Message = Mapping[str, Any]
"""A request of the Task SDK, as decoded: `type` and the model's fields."""

Reply = dict[str, Any] | None
"""The body of a response; None answers "done"."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one attempt may store."""

    xcom_bytes: int = 64 * 1024 * 1024
    map_length: int = 1024


class Secrecy(Protocol):
    """Where operations report the secrets they hand out."""

    def add(self, value: Any, name: str | None = None) -> None:
        """Hide a value from the attempt's log."""


@dataclass(slots=True)
class AttemptContext:
    """One attempt, seen from the operations.

    Attributes:
        claimed: its row, as claimed.
        secrecy: its log masker.
        prefetched: the first of a reducer's inputs, read in one query while the process starts; None for attempts
            without reduce parameters.
        held: XComs to be written with the outcome, by key.
        rendered_fields: template fields to be written with the outcome, or when it runs on.
        rendered_map_index: label to be written likewise.
        refused: kind and name of the connections and variables it was refused.
    """

    claimed: ClaimedAttempt
    secrecy: Secrecy
    prefetched: "asyncio.Future[ReduceInputs] | None" = None
    held: dict[str, XComValue] = field(default_factory=dict)
    rendered_fields: dict[str, Any] | None = None
    rendered_map_index: str | None = None
    refused: set[tuple[str, str]] = field(default_factory=set)

    def is_own(self, message: Message) -> bool:
        """Tell whether a message's dag_id, run_id, task_id and map_index name this attempt's own instance."""
        claimed = self.claimed
        map_index = message.get("map_index")
        return bool(
            message.get("task_id") == claimed.task_id
            and message.get("run_id") == claimed.run_id
            and message.get("dag_id") == claimed.dag_id
            and (-1 if map_index is None else map_index) == claimed.map_index
        )


class Store:
    """The database as operations use it.

    Args:
        pool: connections.
        secrets: decrypts variables and connections.
        limits: bounds on what attempts may store.
        access: which connections and variables they may have.
    """

    def __init__(self, pool: Pool, secrets: SecretBox, limits: Limits, access: SecretAccess) -> None:
        self.pool = pool
        self.secrets = secrets
        self.limits = limits
        self.access = access

    @classmethod
    def of(cls, pool: Pool, settings: Settings) -> Self:
        """Return the store of a process with these settings; a home without a key gets one."""
        limits = Limits(settings.worker.xcom_limit_bytes, settings.worker.max_map_length)
        return cls(pool, SecretBox.load_or_create(settings.home), limits, SecretAccess(settings.secrets))

    async def rows(self, query: str, parameters: Mapping[str, Any], *, binary: bool = False) -> list[TupleRow]:
        """Run a query and return its rows; `binary` halves what many large values cost on their way."""
        async with self.pool.connection() as connection:
            return await _fetch(connection, query, parameters, binary=binary)

    async def row(self, query: str, parameters: Mapping[str, Any]) -> TupleRow | None:
        """Run a query and return its first row."""
        rows = await self.rows(query, parameters)
        return rows[0] if rows else None


async def _fetch(
    connection: AsyncConnection[TupleRow], query: str, parameters: Mapping[str, Any], *, binary: bool
) -> list[TupleRow]:
    cursor = await connection.execute(query.encode(), parameters, binary=binary)
    return await cursor.fetchall() if cursor.description else []
