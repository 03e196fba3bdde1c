"""Variables: values encrypted at rest, masked in answers when their key sounds secret."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field, JsonValue

from leoflow.api.deps import Conn, Connection, Operator, User
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public import audit, bulk, store
from leoflow.api.public.masking import redact_text, restore_text
from leoflow.api.public.secret_box import Secrets
from leoflow.api.public.shapes import StrictBody, TeamName
from leoflow.crypto import SecretBox
from leoflow.db import queries

SQL = queries.load("api_variables")
router = APIRouter(prefix="/variables", tags=["Variable"])
# A value can be sorted by nothing useful, being encrypted; the UI's `_val` sorts by key.
ORDER = Ordering(
    {"id": "v.key", "key": "v.key", "description": "v.description", "is_encrypted": "v.key", "_val": "v.key"},
    default="key",
    unique="key",
)


class VariableBody(StrictBody):
    """A variable to write."""

    key: str = Field(max_length=250, min_length=1)
    value: JsonValue
    description: str | None = None
    team_name: TeamName = None

    def text(self) -> str:
        """The value as it is stored: text as it is, anything else as JSON."""
        return self.value if isinstance(self.value, str) else json.dumps(self.value)


class VariableResponse(BaseModel):
    """A variable."""

    key: str
    value: str
    description: str | None
    is_encrypted: bool
    team_name: str | None


class VariableCollectionResponse(BaseModel):
    """Variables."""

    variables: list[VariableResponse]
    total_entries: int


@router.get("", response_model=VariableCollectionResponse)
async def get_variables(
    conn: Conn,
    _: Operator,
    box: Secrets,
    page: Paged,
    order_by: Annotated[list[str] | None, Query()] = None,
    variable_key_pattern: str | None = None,
    variable_key_prefix_pattern: str | None = None,
) -> Any:
    """List variables."""
    where = Where()
    where.contains("v.key", variable_key_pattern)
    where.starts_with("v.key", variable_key_prefix_pattern)
    found, total = await store.listing(conn, "leoflow_core.variable v", where, ORDER.parse(order_by), page)
    return {"variables": [_shown(row, box) for row in found], "total_entries": total}


@router.post("", status_code=201, response_model=VariableResponse)
async def post_variable(body: VariableBody, conn: Conn, user: Operator, box: Secrets) -> Any:
    """Create a variable."""
    async with conn.transaction():
        if not await store.execute(conn, SQL.insert, _stored(body, box)):
            raise HTTPException(409, f"The Variable with key: `{body.key}` already exists")
        await audit.record(conn, user, "post_variable", extra={**audit.body(body), "method": "POST"})
    return await _get(conn, body.key, box)


@router.patch("", response_model=bulk.BulkResponse)
async def bulk_variables(body: bulk.BulkBody[VariableBody], conn: Conn, user: Operator, box: Secrets) -> Any:
    """Create, update and delete several variables."""
    return await bulk.run(conn, body, _Bulk(conn, user, box))


@router.get("/{variable_key:path}", response_model=VariableResponse)
async def get_variable(variable_key: str, conn: Conn, _: Operator, box: Secrets) -> Any:
    """Get a variable."""
    return await _get(conn, variable_key, box)


@router.patch("/{variable_key:path}", response_model=VariableResponse)
async def patch_variable(
    variable_key: str,
    body: VariableBody,
    conn: Conn,
    user: Operator,
    box: Secrets,
    update_mask: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """Update a variable."""
    if body.key != variable_key:
        raise HTTPException(400, "Invalid body, key from request body doesn't match uri parameter")
    async with conn.transaction():
        await _patch(conn, body, update_mask, user, box)
    return await _get(conn, variable_key, box)


@router.delete("/{variable_key:path}", status_code=204)
async def delete_variable(variable_key: str, conn: Conn, user: Operator) -> None:
    """Delete a variable."""
    async with conn.transaction():
        await _delete(conn, variable_key, user)


def _shown(row: store.Row, box: SecretBox) -> dict[str, Any]:
    text = box.decrypt(row["value"])
    return {
        "key": row["key"],
        "value": redact_text(text, row["key"]),
        "description": row["description"],
        "is_encrypted": True,
        "team_name": None,
    }


def _stored(body: VariableBody, box: SecretBox) -> dict[str, Any]:
    return {"key": body.key, "value": box.encrypt(body.text()), "description": body.description}


def _missing(key: str) -> HTTPException:
    return HTTPException(404, f"The Variable with key: `{key}` was not found")


async def _get(conn: Connection, key: str, box: SecretBox) -> dict[str, Any]:
    row = await store.row(conn, SQL.one, {"key": key})
    if row is None:
        raise _missing(key)
    return _shown(row, box)


async def _patch(conn: Connection, body: VariableBody, mask: list[str] | None, user: User, box: SecretBox) -> None:
    old = await store.row(conn, SQL.lock, {"key": body.key})
    if old is None:
        raise _missing(body.key)
    fields = body.model_fields_set & set(mask) if mask else body.model_fields_set
    old_text = box.decrypt(old["value"])
    text = restore_text(body.text(), old_text) if "value" in fields else old_text
    await store.execute(
        conn,
        SQL.update,
        {
            "key": body.key,
            "value": box.encrypt(text or ""),
            "description": body.description if "description" in fields else old["description"],
        },
    )
    await audit.record(conn, user, "patch_variable", extra={**audit.body(body), "method": "PATCH"})


async def _delete(conn: Connection, key: str, user: User) -> None:
    if not await store.execute(conn, SQL.delete, {"key": key}):
        raise _missing(key)
    await audit.record(conn, user, "delete_variable", extra={"variable_key": key, "method": "DELETE"})


class _Bulk:
    """Variables, for the bulk endpoint."""

    noun = "variables with these keys"

    def __init__(self, conn: Connection, user: User, box: SecretBox) -> None:
        self._conn, self._user, self._box = conn, user, box

    def key(self, entity: VariableBody) -> str:
        """Return the variable's key."""
        return entity.key

    async def existing(self, keys: Sequence[str]) -> set[str]:
        """Return the keys that exist."""
        return {row["key"] for row in await store.rows(self._conn, SQL.existing, {"keys": list(keys)})}

    async def put(self, entity: VariableBody) -> None:
        """Write a variable."""
        await store.execute(self._conn, SQL.put, _stored(entity, self._box))
        await audit.record(self._conn, self._user, "post_variable", extra=audit.body(entity))

    async def patch(self, entity: VariableBody, update_mask: list[str] | None) -> None:
        """Update a variable."""
        await _patch(self._conn, entity, update_mask, self._user, self._box)

    async def remove(self, key: str) -> None:
        """Delete a variable."""
        await _delete(self._conn, key, self._user)
