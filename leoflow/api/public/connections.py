"""Connections: sealed at rest but for id, type and description; answers show `***` for password and secret extras."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field, field_validator

from leoflow.api.deps import Conn, Connection, Operator, User
from leoflow.api.filters import Where
from leoflow.api.paging import Order, Ordering, Page, Paged
from leoflow.api.public import audit, bulk, store
from leoflow.api.public.masking import MASK, redact_text, restore_text
from leoflow.api.public.secret_box import Secrets
from leoflow.api.public.shapes import StrictBody, TeamName
from leoflow.crypto import SecretBox
from leoflow.db import queries
from leoflow.secrets import connections as sealing

SQL = queries.load("api_connections")
router = APIRouter(prefix="/connections", tags=["Connection"])
_READABLE = ("connection_id", "conn_type", "description")
ORDER = Ordering(
    {
        "id": "c.connection_id",
        "conn_id": "c.connection_id",
        "connection_id": "c.connection_id",
        "conn_type": "c.conn_type",
        "description": "c.description",
        "host": "host",
        "port": "port",
    },
    default="id",
    unique="connection_id",
)
_SEALED = frozenset({"host", "port"})
_ALL = Page(2**31 - 1, 0)
_SAME = {"id": "connection_id", "conn_id": "connection_id"}


class ConnectionBody(StrictBody):
    """A connection to write."""

    connection_id: str = Field(max_length=200, pattern=r"^[\w.-]+$")
    conn_type: str
    description: str | None = None
    host: str | None = None
    login: str | None = None
    schema_: str | None = Field(None, alias="schema")
    port: int | None = Field(None, ge=-(2**31), lt=2**31)
    password: str | None = None
    extra: str | None = None
    team_name: TeamName = None

    @field_validator("host", "login", "schema_", "password")
    @classmethod
    def _has_no_nul(cls, text: str | None) -> str | None:
        if text is not None and "\x00" in text:
            raise ValueError("The text must not contain the character NUL: nothing it is passed to can take it")
        return text

    @field_validator("extra")
    @classmethod
    def _extra_is_an_object(cls, extra: str | None) -> str | None:
        if extra is None or extra == "":
            return None if extra is None else "{}"
        try:
            parsed = json.loads(extra)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise ValueError("The `extra` field must be a valid JSON object (e.g., {'key': 'value'})")
        return extra


class ConnectionResponse(BaseModel):
    """A connection without its secrets."""

    connection_id: str
    conn_type: str
    description: str | None
    host: str | None
    login: str | None
    schema_: str | None = Field(alias="schema")
    port: int | None
    password: str | None
    extra: str | None
    team_name: str | None


class ConnectionCollectionResponse(BaseModel):
    """Connections."""

    connections: list[ConnectionResponse]
    total_entries: int


class ConnectionTestResponse(BaseModel):
    """Whether a connection could be made."""

    status: bool
    message: str


@router.get("", response_model=ConnectionCollectionResponse)
async def get_connections(
    conn: Conn,
    _: Operator,
    box: Secrets,
    page: Paged,
    order_by: Annotated[list[str] | None, Query()] = None,
    connection_id_pattern: str | None = None,
    connection_id_prefix_pattern: str | None = None,
) -> Any:
    """List connections."""
    where = Where()
    where.contains("c.connection_id", connection_id_pattern)
    where.starts_with("c.connection_id", connection_id_prefix_pattern)
    order = ORDER.parse(order_by)
    if not _SEALED & {term.field for term in order.terms}:
        found, total = await store.listing(conn, "leoflow_core.connection c", where, order, page)
        return {"connections": [_shown(row, box) for row in found], "total_entries": total}
    found, total = await store.listing(conn, "leoflow_core.connection c", where, ORDER.parse(None), _ALL)
    shown = _sorted([_shown(row, box) for row in found], order)
    return {"connections": shown[page.offset : page.offset + page.limit], "total_entries": total}


@router.post("", status_code=201, response_model=ConnectionResponse)
async def post_connection(body: ConnectionBody, conn: Conn, user: Operator, box: Secrets) -> Any:
    """Create a connection."""
    async with conn.transaction():
        if not await store.execute(conn, SQL.insert, _stored(_values(body), box)):
            raise HTTPException(409, f"The Connection with ID: `{body.connection_id}` already exists")
        await audit.record(conn, user, "post_connection", extra={**_audited(body), "method": "POST"})
    return await _get(conn, body.connection_id, box)


@router.patch("", response_model=bulk.BulkResponse)
async def bulk_connections(body: bulk.BulkBody[ConnectionBody], conn: Conn, user: Operator, box: Secrets) -> Any:
    """Create, update and delete several connections."""
    return await bulk.run(conn, body, _Bulk(conn, user, box))


@router.post("/test", response_model=ConnectionTestResponse)
async def test_connection(body: ConnectionBody, _: Operator) -> Any:
    """Refuse to test a connection: hooks are user code and never run in this process."""
    raise HTTPException(
        403,
        "Testing connections is disabled in Airflow configuration. "
        f"Use the connection `{body.connection_id}` in a task instead: hooks run only where tasks run.",
    )


@router.post("/defaults", status_code=204)
async def create_default_connections(_: Operator) -> None:
    """Create nothing: no connection exists by default, since no provider is installed in the control plane."""


@router.get("/{connection_id}", response_model=ConnectionResponse)
async def get_connection(connection_id: str, conn: Conn, _: Operator, box: Secrets) -> Any:
    """Get a connection."""
    return await _get(conn, connection_id, box)


@router.patch("/{connection_id}", response_model=ConnectionResponse)
async def patch_connection(
    connection_id: str,
    body: ConnectionBody,
    conn: Conn,
    user: Operator,
    box: Secrets,
    update_mask: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """Update a connection."""
    if body.connection_id != connection_id:
        raise HTTPException(400, "The connection_id in the request body does not match the URL parameter")
    async with conn.transaction():
        await _patch(conn, body, update_mask, user, box)
    return await _get(conn, connection_id, box)


@router.delete("/{connection_id}", status_code=204)
async def delete_connection(connection_id: str, conn: Conn, user: Operator) -> None:
    """Delete a connection."""
    async with conn.transaction():
        await _delete(conn, connection_id, user)


def _values(body: ConnectionBody) -> dict[str, Any]:
    return body.model_dump(by_alias=True, exclude={"team_name"})


def _audited(body: ConnectionBody) -> dict[str, Any]:
    """What was sent: readable fields, and of the sealed ones that they were."""
    sent = audit.body(body)
    return {key: value if key in _READABLE else MASK for key, value in sent.items()}


def _stored(values: dict[str, Any], box: SecretBox) -> dict[str, Any]:
    return {**{key: values[key] for key in _READABLE}, "sealed": sealing.seal(box, values)}


def _plain(row: store.Row, box: SecretBox) -> dict[str, Any]:
    """A row as values of the body, decrypted."""
    return {**{key: row[key] for key in _READABLE}, **sealing.unseal(box, row["sealed"])}


def _shown(row: store.Row, box: SecretBox) -> dict[str, Any]:
    plain = _plain(row, box)
    return {
        **plain,
        "password": MASK if plain["password"] else plain["password"],
        "extra": redact_text(plain["extra"]),
        "team_name": None,
    }


def _sorted(rows: list[dict[str, Any]], order: Order) -> list[dict[str, Any]]:
    """Sort by what the database cannot read: nulls last, first when descending, as it does."""
    for term in reversed(order.terms):
        field = _SAME.get(term.field, term.field)
        rows.sort(key=lambda row: _last_if_none(row[field]), reverse=term.descending)
    return rows


def _last_if_none(value: Any) -> tuple[bool, Any]:
    return (value is None, "" if value is None else value)


def _missing(connection_id: str) -> HTTPException:
    return HTTPException(404, f"The Connection with connection_id: `{connection_id}` was not found")


async def _get(conn: Connection, connection_id: str, box: SecretBox) -> dict[str, Any]:
    row = await store.row(conn, SQL.one, {"connection_id": connection_id})
    if row is None:
        raise _missing(connection_id)
    return _shown(row, box)


async def _patch(conn: Connection, body: ConnectionBody, mask: list[str] | None, user: User, box: SecretBox) -> None:
    row = await store.row(conn, SQL.lock, {"connection_id": body.connection_id})
    if row is None:
        raise _missing(body.connection_id)
    old, new = _plain(row, box), _values(body)
    sent = set(body.model_dump(by_alias=True, exclude_unset=True))
    changes = {key: new[key] for key in sent - {"team_name"} if not mask or key in mask}
    for key in ("password", "extra"):
        if key in changes:
            changes[key] = restore_text(changes[key], old[key])
    await store.execute(conn, SQL.put, _stored({**old, **changes}, box))
    await audit.record(conn, user, "patch_connection", extra={**_audited(body), "method": "PATCH"})


async def _delete(conn: Connection, connection_id: str, user: User) -> None:
    if not await store.execute(conn, SQL.delete, {"connection_id": connection_id}):
        raise _missing(connection_id)
    extra = {"connection_id": connection_id, "method": "DELETE"}
    await audit.record(conn, user, "delete_connection", extra=extra)


class _Bulk:
    """Connections, for the bulk endpoint."""

    noun = "connections with these connection_ids"

    def __init__(self, conn: Connection, user: User, box: SecretBox) -> None:
        self._conn, self._user, self._box = conn, user, box

    def key(self, entity: ConnectionBody) -> str:
        """Return the connection's id."""
        return entity.connection_id

    async def existing(self, keys: Sequence[str]) -> set[str]:
        """Return the ids that exist."""
        return {row["connection_id"] for row in await store.rows(self._conn, SQL.existing, {"keys": list(keys)})}

    async def put(self, entity: ConnectionBody) -> None:
        """Write a connection."""
        await store.execute(self._conn, SQL.put, _stored(_values(entity), self._box))
        await audit.record(self._conn, self._user, "post_connection", extra=_audited(entity))

    async def patch(self, entity: ConnectionBody, update_mask: list[str] | None) -> None:
        """Update a connection."""
        await _patch(self._conn, entity, update_mask, self._user, self._box)

    async def remove(self, key: str) -> None:
        """Delete a connection."""
        await _delete(self._conn, key, self._user)
