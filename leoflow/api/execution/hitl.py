"""Human in the loop: what an attempt asks a person, and the answer."""

from uuid import UUID

from fastapi import Response

from leoflow.api.execution.answers import reply
from leoflow.api.execution.answers import router as make_router
from leoflow.api.execution.caller import Asking
from leoflow.api.execution.models import HitlRequest, HitlUpdate

router = make_router("/hitlDetails")


@router.post("/{task_instance_id}")
async def create(asking: Asking, task_instance_id: UUID, payload: HitlRequest) -> Response:
    """Ask."""
    message = {**payload.model_dump(), "ti_id": task_instance_id}
    return reply(await asking.ask("CreateHITLDetailPayload", message), 201)


@router.patch("/{task_instance_id}")
async def update(asking: Asking, task_instance_id: UUID, payload: HitlUpdate) -> Response:
    """Answer by a default."""
    return reply(await asking.ask("UpdateHITLDetail", {**payload.model_dump(), "ti_id": task_instance_id}))


@router.get("/{task_instance_id}")
async def get(asking: Asking, task_instance_id: UUID) -> Response:
    """Return the answer so far."""
    return reply(await asking.ask("GetHITLDetailResponse", {"ti_id": task_instance_id}))
