"""The browser's token cookie, and signing in the local browser without a form."""

from fastapi import Request
from fastapi.responses import Response

from leoflow.api.auth import users
from leoflow.api.auth.tokens import COOKIE, ExpiredTokenError, InvalidTokenError
from leoflow.api.deps import ApiState, Connection


async def sign_in_locally(response: Response, state: ApiState, conn: Connection) -> bool:
    """Put a token of the first administrator into the answer; False when there is none."""
    name = await users.first_admin(conn)
    if name is None:
        return False
    token = state.signer.issue(name, "admin", state.settings.token_seconds)
    response.set_cookie(COOKIE, token, httponly=True, samesite="lax", path="/")
    return True


async def is_signed_in(request: Request, state: ApiState, conn: Connection) -> bool:
    """Whether the request's cookie is a valid token of an existing user."""
    try:
        claims = state.signer.read(request.cookies.get(COOKIE, ""))
    except (ExpiredTokenError, InvalidTokenError):
        return False
    return await users.role_of(conn, claims.user_name, claims.token_id) is not None


def forget_cookie(response: Response) -> None:
    """Tell the browser to drop the token."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
