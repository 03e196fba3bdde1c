"""ASGI middleware that refuses request bodies above a size, however they are announced."""

from collections.abc import Mapping
from types import MappingProxyType

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEBIBYTE = 1024 * 1024
MAXIMUM_BODY = 32 * MEBIBYTE


class _TooLargeError(Exception):
    """The body went over the limit while being read."""


class BodyLimit:
    """Answers 413 when a body is longer than the limit; bytes are counted, `Content-Length` is only believed early.

    Args:
        app: what is protected.
        maximum: the limit in bytes.
        exceptions: other limits below path prefixes.
    """

    def __init__(
        self, app: ASGIApp, maximum: int = MAXIMUM_BODY, exceptions: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self._app = app
        self._maximum = maximum
        self._exceptions = exceptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what is received."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        maximum = self._limit(scope["path"])
        refusal = JSONResponse({"detail": f"The body is larger than {maximum // MEBIBYTE} MiB"}, 413)
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdigit() and int(announced) > maximum:
            await refusal(scope, receive, send)
            return
        received, started = 0, False

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > maximum:
                raise _TooLargeError
            return message

        async def watching(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counting, watching)
        except _TooLargeError:
            if not started:
                await refusal(scope, receive, send)

    def _limit(self, path: str) -> int:
        found = (limit for prefix, limit in self._exceptions.items() if path.startswith(prefix))
        return next(found, self._maximum)
