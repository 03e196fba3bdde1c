"""What a route can ask for: a connection, the signed-in user, a minimum role.

    @router.get("/pools")
    async def pools(conn: Conn, user: Viewer, paged: Paged) -> PoolCollection: …

`Conn` is one pooled connection (autocommit), shared with the check of the user. It goes back to the pool when the route
returns, before the answer is sent.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from leoflow.api.auth import users
from leoflow.api.auth.guard import DROP_COOKIE
from leoflow.api.auth.limiter import LoginLimiter
from leoflow.api.auth.tokens import COOKIE, Claims, ExpiredTokenError, InvalidTokenError, TokenSigner
from leoflow.api.graph_cache import GraphCache
from leoflow.api.rows import Connection as Connection
from leoflow.api.settings import ApiSettings
from leoflow.db.pool import Pool as Pool
from leoflow.log_store import LogStore


@dataclass(frozen=True, slots=True)
class ApiState:
    """What the application was composed of; lives at `app.state.leoflow`."""

    pool: Pool
    settings: ApiSettings
    signer: TokenSigner
    limiter: LoginLimiter
    graphs: GraphCache
    log_store: LogStore | None = None


class Role(IntEnum):
    """Airflow's simple roles; each includes the ones before."""

    VIEWER = 1
    USER = 2
    OP = 3
    ADMIN = 4


@dataclass(frozen=True, slots=True)
class User:
    """The signed-in user."""

    name: str
    role: Role
    claims: Claims


def state(request: Request) -> ApiState:
    """FastAPI dependency: the composition."""
    found: ApiState = request.app.state.leoflow
    return found


State = Annotated[ApiState, Depends(state)]


async def connection(state: State) -> AsyncIterator[Connection]:
    """FastAPI dependency: a connection until the answer begins. Streams take their own: slow clients hold none."""
    async with state.pool.connection() as conn:
        yield conn


Conn = Annotated[Connection, Depends(connection, scope="function")]


def credentials(request: Request) -> list[str]:
    """Find the tokens: the cookie wins over the `Authorization: Bearer` header, as in Airflow."""
    found = [request.cookies.get(COOKIE, "")]
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        found.append(value.strip())
    return [token for token in found if token]


async def current_user(request: Request, state: State, conn: Conn) -> User:
    """FastAPI dependency: the user of the request's token.

    Raises:
        HTTPException: 401 `Not authenticated` or `Token Expired`, 403 `Invalid JWT token`; the UI reacts to
            these exact texts.
    """
    refusal = HTTPException(401, "Not authenticated")
    for token in credentials(request):
        try:
            return await _user_of(token, state, conn)
        except HTTPException as error:
            refusal = error
            # Found bad in the database (revoked, user gone), which the middleware cannot see by itself.
            request.scope[DROP_COOKIE] = COOKIE in request.cookies
    raise refusal


async def _user_of(token: str, state: ApiState, conn: Connection) -> User:
    try:
        claims = state.signer.read(token)
    except ExpiredTokenError:
        raise HTTPException(401, "Token Expired") from None
    except InvalidTokenError:
        raise HTTPException(403, "Invalid JWT token") from None
    role = await users.role_of(conn, claims.user_name, claims.token_id)
    if role is None or role.upper() not in Role.__members__:
        raise HTTPException(403, "Invalid JWT token")
    return User(claims.user_name, Role[role.upper()], claims)


CurrentUser = Annotated[User, Depends(current_user)]


def at_least(role: Role) -> Callable[[User], User]:
    """Make a dependency that refuses users below a role with 403 `Forbidden`."""

    def check(user: CurrentUser) -> User:
        if user.role < role:
            raise HTTPException(403, "Forbidden")
        return user

    return check


Viewer = Annotated[User, Depends(at_least(Role.VIEWER))]
Operator = Annotated[User, Depends(at_least(Role.OP))]
Editor = Annotated[User, Depends(at_least(Role.USER))]
Admin = Annotated[User, Depends(at_least(Role.ADMIN))]
