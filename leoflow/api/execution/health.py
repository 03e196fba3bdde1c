"""Health of the execution API: the only routes without a token."""

from fastapi import Response

from leoflow.api.execution.answers import reply
from leoflow.api.execution.answers import router as make_router

router = make_router("/health")


@router.get("")
async def health() -> Response:
    """Say that the API answers."""
    return reply({"status": "healthy"})


@router.get("/ping")
async def ping() -> Response:
    """Say which parts are ready; nothing is checked that `/readyz` does not check better."""
    return reply({"ok": ["leoflow.execution"], "failing": {}})
