"""ASGI middleware in front of everything: who may talk to a server on loopback, and cookies gone stale."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leoflow.api.auth.tokens import COOKIE, ExpiredTokenError, InvalidTokenError, TokenSigner
from leoflow.api.settings import ApiSettings, is_loopback

Sender = Callable[[Message], Awaitable[None]]

DROP_COOKIE = "leoflow.drop_cookie"


class LocalGuard:
    """Refuses foreign Host and Origin where the local browser is signed in without a form.

    Without it any web page could reach the server: by a form or fetch (Origin), or by a name of its own that
    resolves to 127.0.0.1 (Host).
    """

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and (refusal := self._refusal(Headers(scope=scope))):
            await JSONResponse({"detail": refusal}, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> str | None:
        host = headers.get("host", "")
        name = _host_name(host)
        if not is_loopback(name) and name not in self._settings.allowed_hosts:
            return f"Forbidden host '{name}': this server answers to localhost only"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return f"Forbidden origin '{origin}': this server answers to its own pages only"
        return None


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class StaleCookie:
    """Tells the browser to drop a token cookie that is expired, forged or revoked.

    This is what ends the loop of a 401, the redirect to the login page, and the same cookie again.
    """

    def __init__(self, app: ASGIApp, signer: TokenSigner) -> None:
        self._app = app
        self._signer = signer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch the answer to a request that carries the cookie."""
        if scope["type"] != "http" or (cookie := HTTPConnection(scope).cookies.get(COOKIE)) is None:
            await self._app(scope, receive, send)
            return
        scope[DROP_COOKIE] = not self._is_good(cookie)

        async def watching(message: Message) -> None:
            if message["type"] == "http.response.start" and scope[DROP_COOKIE]:
                headers = MutableHeaders(scope=message)
                if f"{COOKIE}=" not in headers.get("set-cookie", ""):
                    headers.append("set-cookie", f'{COOKIE}=""; HttpOnly; Max-Age=0; Path=/; SameSite=lax')
            await send(message)

        await self._app(scope, receive, watching)

    def _is_good(self, token: str) -> bool:
        try:
            self._signer.read(token)
        except (ExpiredTokenError, InvalidTokenError):
            return False
        return True
