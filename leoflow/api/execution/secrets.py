"""Variables and connections."""

from typing import Annotated

from fastapi import Path, Response

from leoflow.api.execution.answers import nothing, reply
from leoflow.api.execution.answers import router as make_router
from leoflow.api.execution.caller import Asking
from leoflow.api.execution.models import PutVariable

router = make_router("")

Key = Annotated[str, Path(min_length=1)]


@router.get("/variables/{key:path}")
async def get_variable(asking: Asking, key: Key) -> Response:
    """Return a variable."""
    return reply(await asking.ask("GetVariable", {"key": key}))


@router.put("/variables/{key:path}")
async def put_variable(asking: Asking, key: Key, payload: PutVariable) -> Response:
    """Create or replace a variable."""
    await asking.ask("PutVariable", {"key": key, "value": payload.value, "description": payload.description})
    return reply({"message": "Variable successfully set"}, 201)


@router.delete("/variables/{key:path}")
async def delete_variable(asking: Asking, key: Key) -> Response:
    """Delete a variable."""
    await asking.ask("DeleteVariable", {"key": key})
    return nothing()


@router.get("/connections/{connection_id}")
async def get_connection(asking: Asking, connection_id: Key) -> Response:
    """Return a connection."""
    return reply(await asking.ask("GetConnection", {"conn_id": connection_id}))
