"""Bulk creation, update and deletion of variables, connections and pools in one request.

Each action is all or nothing (a savepoint) and reports its own error; the request itself answers 200.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

from fastapi import HTTPException
from pydantic import BaseModel, Field

from leoflow.api.deps import Connection
from leoflow.api.public.shapes import StrictBody

Entity = TypeVar("Entity", bound=BaseModel)
Handled = TypeVar("Handled", bound=BaseModel, contravariant=True)
MAX_ENTITIES = 10_000


class BulkActionOnExistence(StrEnum):
    """What to do with entities that exist already."""

    FAIL = "fail"
    SKIP = "skip"
    OVERWRITE = "overwrite"


class BulkActionNotOnExistence(StrEnum):
    """What to do with entities that do not exist."""

    FAIL = "fail"
    SKIP = "skip"


class BulkCreateAction(StrictBody, Generic[Entity]):
    """Create entities."""

    action: Literal["create"]
    entities: list[Entity] = Field(max_length=MAX_ENTITIES)
    action_on_existence: BulkActionOnExistence = BulkActionOnExistence.FAIL


class BulkUpdateAction(StrictBody, Generic[Entity]):
    """Update entities."""

    action: Literal["update"]
    entities: list[Entity] = Field(max_length=MAX_ENTITIES)
    update_mask: list[str] | None = None
    action_on_non_existence: BulkActionNotOnExistence = BulkActionNotOnExistence.FAIL


class BulkDeleteAction(StrictBody, Generic[Entity]):
    """Delete entities, given by key or whole."""

    action: Literal["delete"]
    entities: list[str | Entity] = Field(max_length=MAX_ENTITIES)
    action_on_non_existence: BulkActionNotOnExistence = BulkActionNotOnExistence.FAIL


class BulkBody(StrictBody, Generic[Entity]):
    """Actions, done in order."""

    actions: list[
        Annotated[
            BulkCreateAction[Entity] | BulkUpdateAction[Entity] | BulkDeleteAction[Entity],
            Field(discriminator="action"),
        ]
    ]


class BulkActionResponse(BaseModel):
    """The keys that were done, and the errors."""

    success: list[str] = []
    errors: list[dict[str, Any]] = []


class BulkResponse(BaseModel):
    """The outcome of each kind of action; null for kinds that were not asked for."""

    create: BulkActionResponse | None = None
    update: BulkActionResponse | None = None
    delete: BulkActionResponse | None = None


class Resource(Protocol[Handled]):
    """What a resource must offer to be handled in bulk. Each method may raise HTTPException."""

    noun: str  # "variables with these keys", for messages

    def key(self, entity: Handled) -> str:
        """Return what identifies an entity."""
        ...

    async def existing(self, keys: Sequence[str]) -> set[str]:
        """Return those of the keys that exist."""
        ...

    async def put(self, entity: Handled) -> None:
        """Create an entity or replace the one of that key."""
        ...

    async def patch(self, entity: Handled, update_mask: list[str] | None) -> None:
        """Update an existing entity."""
        ...

    async def remove(self, key: str) -> None:
        """Delete an existing entity."""
        ...


async def run(conn: Connection, body: BulkBody[Entity], resource: Resource[Entity]) -> BulkResponse:
    """Do the actions of a request."""
    response = BulkResponse()
    for action in body.actions:
        outcome = getattr(response, action.action) or BulkActionResponse()
        setattr(response, action.action, outcome)
        try:
            async with conn.transaction():
                outcome.success.extend(await _do(action, resource))
        except HTTPException as error:
            outcome.errors.append({"error": str(error.detail), "status_code": error.status_code})
    return response


async def _do(
    action: BulkCreateAction[Entity] | BulkUpdateAction[Entity] | BulkDeleteAction[Entity], resource: Resource[Entity]
) -> list[str]:
    keyed = {entity if isinstance(entity, str) else resource.key(entity): entity for entity in action.entities}
    existing = await resource.existing(list(keyed))
    done = []
    for key, entity in keyed.items():
        if not _wanted(action, key, existing, keyed, resource.noun):
            continue
        match action:
            case BulkCreateAction():
                assert not isinstance(entity, str)
                await resource.put(entity)
            case BulkUpdateAction():
                assert not isinstance(entity, str)
                await resource.patch(entity, action.update_mask)
            case BulkDeleteAction():
                await resource.remove(key)
        done.append(key)
    return done


def _wanted(action: Any, key: str, existing: set[str], keyed: dict[str, Any], noun: str) -> bool:
    """Whether to go on with a key; raises when the action must fail."""
    if isinstance(action, BulkCreateAction):
        if action.action_on_existence == BulkActionOnExistence.FAIL and existing:
            raise HTTPException(409, f"The {noun}: {_names(existing)} already exist.")
        return not (action.action_on_existence == BulkActionOnExistence.SKIP and key in existing)
    missing = keyed.keys() - existing
    if action.action_on_non_existence == BulkActionNotOnExistence.FAIL and missing:
        raise HTTPException(404, f"The {noun}: {_names(missing)} were not found.")
    return key in existing


def _names(keys: set[str]) -> str:
    return "{" + ", ".join(repr(key) for key in sorted(keys)) + "}"
