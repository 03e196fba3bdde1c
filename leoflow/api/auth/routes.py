"""`/auth/*` and `/api/v2/auth/*`: tokens for passwords, the way to the login page, logout."""

from typing import Annotated
from urllib.parse import parse_qs, unquote, urlencode, urljoin, urlsplit

import orjson
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, ValidationError

from leoflow.api.auth import users
from leoflow.api.auth.session import forget_cookie, sign_in_locally
from leoflow.api.auth.tokens import COOKIE, ExpiredTokenError, InvalidTokenError
from leoflow.api.deps import ApiState, Conn, Connection, State

router = APIRouter(tags=["Login"])


class LoginBody(BaseModel):
    """A user name and a password."""

    model_config = ConfigDict(extra="forbid")
    username: str
    password: str


class LoginResponse(BaseModel):
    """The token to send as `Authorization: Bearer` or as the cookie `_token`."""

    access_token: str


async def login_body(request: Request) -> LoginBody:
    """Read the body, JSON or a form; unlike elsewhere the detail of a 422 is a text."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    raw = await request.body()
    try:
        if media_type == "application/json":
            return LoginBody.model_validate(orjson.loads(raw))
        if media_type == "application/x-www-form-urlencoded":
            form = parse_qs(raw.decode(), keep_blank_values=True)
            return LoginBody.model_validate({key: values[-1] for key, values in form.items()})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise HTTPException(422, problems) from None
    except ValueError:
        raise HTTPException(422, "The body is not valid JSON") from None
    raise HTTPException(415, "Unsupported Media Type")


Body = Annotated[LoginBody, Depends(login_body)]


async def _token(body: LoginBody, request: Request, state: ApiState, conn: Connection, seconds: int) -> str:
    if not body.username or not body.password:
        raise HTTPException(400, "Username and password must be provided")
    address = request.client.host if request.client else ""
    if wait := state.limiter.wait_seconds(body.username, address):
        raise HTTPException(
            429, f"Too many failed logins; try again in {wait} seconds", headers={"Retry-After": str(wait)}
        )
    role = await users.authenticate(conn, body.username, body.password)
    if role is None:
        state.limiter.failed(body.username, address)
        raise HTTPException(401, "Invalid credentials")
    state.limiter.succeeded(body.username, address)
    return state.signer.issue(body.username, role, seconds)


@router.post("/auth/token", status_code=201)
async def create_token(body: Body, request: Request, state: State, conn: Conn) -> LoginResponse:
    """Exchange a user name and password for a token."""
    token = await _token(body, request, state, conn, state.settings.token_seconds)
    return LoginResponse(access_token=token)


@router.post("/auth/token/cli", status_code=201)
async def create_token_cli(body: LoginBody, request: Request, state: State, conn: Conn) -> LoginResponse:
    """Exchange a user name and password for a token for command-line use."""
    token = await _token(body, request, state, conn, state.settings.cli_token_seconds)
    return LoginResponse(access_token=token)


@router.get("/auth/token", include_in_schema=False)
@router.get("/auth/token/login", include_in_schema=False)
async def all_admins() -> None:
    """Refuse what real Airflow allows only when everybody is an admin."""
    raise HTTPException(403, "This method is only allowed if ``[core] simple_auth_manager_all_admins`` is True")


@router.get("/api/v2/auth/login", status_code=307)
async def login(request: Request, state: State, conn: Conn, next: str | None = None) -> RedirectResponse:
    """Send the browser to the login page, or straight back when it is signed in by being local."""
    if next and not is_own_url(next, str(request.base_url)):
        raise HTTPException(400, "Invalid or unsafe next URL")
    if state.settings.signs_in_locally:
        response = RedirectResponse(next or _root(request))
        if await sign_in_locally(response, state, conn):
            return response
    query = f"?{urlencode({'next': next})}" if next else ""
    return RedirectResponse(f"{_root(request)}auth/login{query}")


@router.get("/api/v2/auth/logout", status_code=307)
async def logout(request: Request, state: State, conn: Conn) -> RedirectResponse:
    """Revoke the cookie's token and go to the login page."""
    if token := request.cookies.get(COOKIE):
        try:
            claims = state.signer.read(token)
            await users.revoke(conn, claims.token_id, claims.expires_at)
        except (ExpiredTokenError, InvalidTokenError):
            pass
    response = RedirectResponse(f"{_root(request)}auth/login")
    forget_cookie(response)
    return response


def _root(request: Request) -> str:
    return f"{request.scope.get('root_path', '')}/"


def is_own_url(target: str, base_url: str) -> bool:
    """Whether a redirect target stays on this server, under its base path."""
    target = unquote(target).strip()
    if target.startswith(("//", "/\\", "\\/", "\\\\", "///")):
        return False
    base, found = urlsplit(base_url), urlsplit(urljoin(base_url, target))
    if found.scheme not in {"http", "https"} or found.netloc != base.netloc:
        return False
    return (found.path or "/").startswith(base.path.rstrip("/") + "/") and "/../" not in found.path + "/"
