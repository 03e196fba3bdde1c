"""ASGI middleware that refuses JSON bodies with values that cannot be kept, before anything is done with them."""

import asyncio
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leoflow.api.limits import MEBIBYTE
from leoflow.storable import Flaw, find_flaw_in

_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class JsonBodies:
    """Answers 422 with the field and the rule. Goes inside of `BodyLimit`, which bounds what is read here.

    Args:
        app: what is protected.
        exceptions: path prefixes whose bodies have rules of their own.
    """

    def __init__(self, app: ASGIApp, exceptions: Sequence[str] = ()) -> None:
        self._app = app
        self._exceptions = tuple(exceptions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, look at it, and hand it on."""
        if not self._concerns(scope):
            await self._app(scope, receive, send)
            return
        messages = await _body(receive)
        flaw = await _flaw(b"".join(message.get("body", b"") for message in messages))
        if flaw is not None:
            where = f"body.{flaw}" if flaw.path else f"body: {flaw}"
            await JSONResponse({"detail": where}, 422)(scope, receive, send)
            return

        async def again() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, again, send)

    def _concerns(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] not in _METHODS or scope["path"].startswith(self._exceptions):
            return False
        return "json" in Headers(scope=scope).get("content-type", "json")


async def _flaw(body: bytes) -> Flaw | None:
    return find_flaw_in(body) if len(body) < MEBIBYTE else await asyncio.to_thread(find_flaw_in, body)


async def _body(receive: Receive) -> list[Message]:
    messages = [await receive()]
    while messages[-1]["type"] == "http.request" and messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages
