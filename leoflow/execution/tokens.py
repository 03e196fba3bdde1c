"""Tokens by which one attempt proves over HTTP that it is that attempt.

A token names its attempt (`sub`) and the key of its instance, signed with the installation's secret. Airflow's two
scopes: `workload` is what an attempt is launched with and is good for `/run` alone; `/run` answers with an
`execution` token, which is good for everything else and is renewed while the attempt runs.
"""

import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import jwt

from leoflow.engine import AttemptRef

AUDIENCE = "urn:airflow.apache.org:task"
EXECUTION_SECONDS = 600
LAUNCH_SECONDS = 600

_ALGORITHM = "HS512"
_LEEWAY_SECONDS = 10
_RENEW_BELOW_SECONDS = EXECUTION_SECONDS // 5

Scope = Literal["workload", "execution"]


class TokenError(Exception):
    """The token is no token of this installation, or not any more; the text says why."""


@dataclass(frozen=True, slots=True)
class AttemptToken:
    """What a valid token says."""

    attempt: AttemptRef
    scope: Scope
    expires_at: float

    @property
    def is_worn(self) -> bool:
        """Whether it expires soon and should be renewed."""
        return self.expires_at - time.time() < _RENEW_BELOW_SECONDS


@dataclass(frozen=True, slots=True)
class AttemptTokens:
    """Makes and reads attempts' tokens with one secret."""

    secret: str

    def for_launch(self, attempt: AttemptRef, seconds: float = LAUNCH_SECONDS) -> str:
        """Make the token an attempt is launched with; valid until it must have started."""
        return self._issue(attempt, "workload", seconds)

    def for_execution(self, attempt: AttemptRef, seconds: float = EXECUTION_SECONDS) -> str:
        """Make the token of a running attempt."""
        return self._issue(attempt, "execution", seconds)

    def read(self, token: str) -> AttemptToken:
        """Check signature, audience, times and shape.

        Raises:
            TokenError: anything is wrong.
        """
        try:
            claims = jwt.decode(
                token,
                self.secret,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["sub", "exp", "iat", "nbf", "jti"]},
            )
            return _token(claims)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as error:
            raise TokenError(str(error)) from error

    def _issue(self, attempt: AttemptRef, scope: Scope, seconds: float) -> str:
        now = time.time()
        claims = {
            "sub": str(attempt.attempt_id),
            "scope": scope,
            "instance": [attempt.run_key, attempt.task_idx, attempt.map_index],
            "aud": AUDIENCE,
            "jti": secrets.token_hex(16),
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now + seconds),
        }
        return jwt.encode(claims, self.secret, algorithm=_ALGORITHM)


def _token(claims: dict[str, Any]) -> AttemptToken:
    run_key, task_idx, map_index = claims["instance"]
    scope = claims["scope"]
    if scope not in ("workload", "execution"):
        raise ValueError(f"Invalid token scope: {scope}")
    attempt = AttemptRef(int(run_key), int(task_idx), int(map_index), UUID(claims["sub"]))
    return AttemptToken(attempt, scope, float(claims["exp"]))
