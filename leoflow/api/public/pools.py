"""Pools: how many slots tasks may share, and how many they use now."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from leoflow.api.deps import Conn, Connection, Operator, User, Viewer
from leoflow.api.filters import Where
from leoflow.api.paging import Ordering, Paged
from leoflow.api.public import audit, bulk, store
from leoflow.api.public.shapes import StrictBody, TeamName
from leoflow.db import queries

DEFAULT_POOL = "default_pool"
SQL = queries.load("api_pools")
router = APIRouter(prefix="/pools", tags=["Pool"])
ORDER = Ordering({"id": "p.name", "name": "p.name", "pool": "p.name"}, default="id", unique="name")

Slots = Annotated[int, Field(ge=-1, le=2**31 - 1, description="Number of slots. Use -1 for unlimited.")]


class PoolBody(StrictBody):
    """A pool to write."""

    name: str = Field(max_length=256, min_length=1)
    slots: Slots
    description: str | None = None
    include_deferred: bool = False
    team_name: TeamName = None


class PoolPatchBody(StrictBody):
    """Changes of a pool; the name is called `pool` here, as in Airflow."""

    pool: str | None = None
    slots: Slots | None = None
    description: str | None = None
    include_deferred: bool | None = None
    team_name: TeamName = None


class PoolResponse(BaseModel):
    """A pool and its use."""

    name: str
    slots: int
    description: str | None
    include_deferred: bool
    occupied_slots: int
    running_slots: int
    queued_slots: int
    scheduled_slots: int
    open_slots: int
    deferred_slots: int
    team_name: str | None = None


class PoolCollectionResponse(BaseModel):
    """Pools."""

    pools: list[PoolResponse]
    total_entries: int


@router.get("", response_model=PoolCollectionResponse)
async def get_pools(
    conn: Conn,
    _: Viewer,
    page: Paged,
    order_by: Annotated[list[str] | None, Query()] = None,
    pool_name_pattern: str | None = None,
    pool_name_prefix_pattern: str | None = None,
) -> Any:
    """List pools."""
    where = Where()
    where.add("not p.is_implied")
    where.contains("p.name", pool_name_pattern)
    where.starts_with("p.name", pool_name_prefix_pattern)
    found, total = await store.listing(conn, "leoflow.pools p", where, ORDER.parse(order_by), page)
    return {"pools": found, "total_entries": total}


@router.post("", status_code=201, response_model=PoolResponse)
async def post_pool(body: PoolBody, conn: Conn, user: Operator) -> Any:
    """Create a pool."""
    async with conn.transaction():
        if not await store.execute(conn, SQL.insert, body.model_dump()):
            raise HTTPException(409, f"The Pool with name: `{body.name}` already exists")
        await store.execute(conn, SQL.changed, {"name": body.name})
        await audit.record(conn, user, "post_pool", extra={**audit.body(body), "method": "POST"})
    return await _get(conn, body.name)


@router.patch("", response_model=bulk.BulkResponse)
async def bulk_pools(body: bulk.BulkBody[PoolBody], conn: Conn, user: Operator) -> Any:
    """Create, update and delete several pools."""
    return await bulk.run(conn, body, _Bulk(conn, user))


@router.get("/{pool_name:path}", response_model=PoolResponse)
async def get_pool(pool_name: str, conn: Conn, _: Viewer) -> Any:
    """Get a pool."""
    return await _get(conn, pool_name)


@router.patch("/{pool_name:path}", response_model=PoolResponse)
async def patch_pool(
    pool_name: str,
    body: PoolPatchBody,
    conn: Conn,
    user: Operator,
    update_mask: Annotated[list[str] | None, Query()] = None,
) -> Any:
    """Update a pool."""
    if body.pool and body.pool != pool_name:
        raise HTTPException(400, "Invalid body, pool name from request body doesn't match uri parameter")
    async with conn.transaction():
        await _patch(conn, pool_name, body.model_dump(exclude_unset=True, exclude={"pool"}), update_mask, user)
    return await _get(conn, pool_name)


@router.delete("/{pool_name:path}", status_code=204)
async def delete_pool(pool_name: str, conn: Conn, user: Operator) -> None:
    """Delete a pool."""
    async with conn.transaction():
        await _delete(conn, pool_name, user)


def _missing(name: str) -> HTTPException:
    return HTTPException(404, f"The Pool with name: `{name}` was not found")


async def _get(conn: Connection, name: str) -> store.Row:
    row = await store.row(conn, SQL.one, {"name": name})
    if row is None:
        raise _missing(name)
    return row


async def _patch(conn: Connection, name: str, changes: dict[str, Any], mask: list[str] | None, user: User) -> None:
    old = await store.row(conn, SQL.lock, {"name": name})
    if old is None:
        raise _missing(name)
    fields = set(mask) if mask else set(changes)
    if name == DEFAULT_POOL and not fields <= {"slots", "include_deferred"}:
        raise HTTPException(400, "Only slots and included_deferred can be modified on Default Pool")
    wanted = {
        key: item for key, item in changes.items() if key in fields and (item is not None or key == "description")
    }
    await store.execute(conn, SQL.update, {**old, **wanted})
    await store.execute(conn, SQL.changed, {"name": name})
    await audit.record(conn, user, "patch_pool", extra={"pool_name": name, **wanted, "method": "PATCH"})


async def _delete(conn: Connection, name: str, user: User) -> None:
    if name == DEFAULT_POOL:
        raise HTTPException(400, "Default Pool can't be deleted")
    if not await store.value(conn, SQL.delete, {"name": name}):
        raise _missing(name)
    await audit.record(conn, user, "delete_pool", extra={"pool_name": name, "method": "DELETE"})


class _Bulk:
    """Pools, for the bulk endpoint."""

    noun = "pools with these pool names"

    def __init__(self, conn: Connection, user: User) -> None:
        self._conn, self._user = conn, user

    def key(self, entity: PoolBody) -> str:
        """Return the pool's name."""
        return entity.name

    async def existing(self, keys: Sequence[str]) -> set[str]:
        """Return the names that exist."""
        return {row["name"] for row in await store.rows(self._conn, SQL.existing, {"keys": list(keys)})}

    async def put(self, entity: PoolBody) -> None:
        """Write a pool."""
        await store.execute(self._conn, SQL.put, entity.model_dump())
        await store.execute(self._conn, SQL.changed, {"name": entity.name})
        await audit.record(self._conn, self._user, "post_pool", extra=audit.body(entity))

    async def patch(self, entity: PoolBody, update_mask: list[str] | None) -> None:
        """Update a pool."""
        changes = entity.model_dump(exclude_unset=True, exclude={"name"})
        await _patch(self._conn, entity.name, changes, update_mask, self._user)

    async def remove(self, key: str) -> None:
        """Delete a pool."""
        await _delete(self._conn, key, self._user)
