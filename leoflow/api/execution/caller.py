"""Who asks: the token of a request, the attempt it names, and what that attempt may do."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, HTTPException, Request

from leoflow.execution import attempts
from leoflow.execution.context import AttemptContext, Message, Reply, Store
from leoflow.execution.faults import FaultError
from leoflow.execution.operations import OPERATIONS
from leoflow.execution.tokens import AttemptToken, AttemptTokens, TokenError


@dataclass(frozen=True, slots=True)
class ExecutionState:
    """What the routes work with; lives at `app.state.leoflow_execution`."""

    store: Store
    tokens: AttemptTokens


def state(request: Request) -> ExecutionState:
    """FastAPI dependency: the composition."""
    found: ExecutionState = request.app.state.leoflow_execution
    return found


State = Annotated[ExecutionState, Depends(state)]


def any_token(request: Request, state: State) -> AttemptToken:
    """FastAPI dependency: the request's token; where the path names an attempt, it must be the token's own.

    Raises:
        HTTPException: 401 no token, 403 not a good one or another attempt's.
    """
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise HTTPException(401, "Missing auth token", headers={"WWW-Authenticate": "Bearer"})
    try:
        token = state.tokens.read(value.strip())
    except TokenError as error:
        raise HTTPException(403, f"Invalid auth token: {error}") from None
    named = request.path_params.get("task_instance_id")
    if named is not None and _uuid(named) not in (None, token.attempt.attempt_id):
        raise HTTPException(403, "Token subject does not match task instance ID")
    return token


def _uuid(text: str) -> UUID | None:
    """Return the id a path names; None when it is none, which the path's own validation tells the client."""
    try:
        return UUID(text)
    except ValueError:
        return None


LaunchToken = Annotated[AttemptToken, Depends(any_token)]


def execution_token(request: Request, state: State, token: LaunchToken) -> AttemptToken:
    """FastAPI dependency: the token of an attempt that has started; renewed when it expires soon.

    Raises:
        HTTPException: 403, it is a launch token.
    """
    if token.scope != "execution":
        text = f"Token type '{token.scope}' not allowed for this endpoint. Allowed types: execution"
        raise HTTPException(403, text)
    if token.is_worn:
        request.state.refreshed_token = state.tokens.for_execution(token.attempt)
    return token


Token = Annotated[AttemptToken, Depends(execution_token)]


class _Unlogged:
    """Takes the secrets handed out; the attempt's own supervisor masks its log."""

    def add(self, value: Any, name: str | None = None) -> None:
        """Nothing is logged here."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The attempt that asks, as it stands in the database."""

    store: Store
    attempt: AttemptContext

    async def ask(self, kind: str, message: Message) -> dict[str, Any]:
        """Run the operation of a message and return its reply without the type.

        Raises:
            FaultError: as the operation.
        """
        try:
            return body(await OPERATIONS[kind](self.store, self.attempt, {"type": kind, **message}))
        except FaultError as fault:
            if fault.note is not None:
                await attempts.note(self.store, self.attempt.claimed, fault.note)
            raise


def body(reply: Reply) -> dict[str, Any]:
    """Return a reply's fields."""
    return {name: value for name, value in (reply or {}).items() if name != "type"}


async def caller(state: State, token: Token) -> Caller:
    """FastAPI dependency: the attempt that asks.

    Raises:
        FaultError: 403, it is over.
    """
    claimed = await attempts.living(state.store, token.attempt)
    return Caller(state.store, AttemptContext(claimed, _Unlogged()))


async def reporter(state: State, token: Token) -> Caller:
    """FastAPI dependency: the attempt that says how it ended.

    Raises:
        FaultError: 404 or 409, it does not run.
    """
    claimed = await attempts.running(state.store, token.attempt)
    return Caller(state.store, AttemptContext(claimed, _Unlogged()))


Reporting = Annotated[Caller, Depends(reporter)]
Asking = Annotated[Caller, Depends(caller)]
