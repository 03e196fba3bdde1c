"""JSON Web Tokens with the claims of Airflow's simple auth manager, signed with HS512.

A token names its user and role; whether it was revoked, and whether the user still exists, is asked of the
database on each request.
"""

import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt

AUDIENCE = "apache-airflow"
ALGORITHM = "HS512"
COOKIE = "_token"

_SECRET_BYTES = 64


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    user_name: str
    role: str
    token_id: str
    expires_at: datetime


class ExpiredTokenError(Exception):
    """The token was good once."""


class InvalidTokenError(Exception):
    """The token was not made by this installation, or is malformed."""


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Makes and reads tokens with one secret."""

    secret: str

    def issue(self, user_name: str, role: str, seconds: int) -> str:
        """Make a token that is valid from now on for `seconds`."""
        now = datetime.now(UTC)
        claims = {
            "sub": user_name,
            "role": role,
            "teams": [],
            "jti": secrets.token_hex(16),
            "aud": AUDIENCE,
            "nbf": now,
            "exp": now + timedelta(seconds=seconds),
            "iat": now,
        }
        return jwt.encode(claims, self.secret, algorithm=ALGORITHM, headers={"kid": "not-used"})

    def read(self, token: str) -> Claims:
        """Check signature, audience and times.

        Raises:
            ExpiredTokenError: past `exp`.
            InvalidTokenError: anything else that is wrong.
        """
        try:
            claims = jwt.decode(
                token,
                self.secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                leeway=10,
                options={"require": ["exp", "iat", "nbf", "sub", "jti"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise ExpiredTokenError from error
        except jwt.InvalidTokenError as error:
            raise InvalidTokenError from error
        return Claims(
            str(claims["sub"]),
            str(claims.get("role", "")),
            str(claims["jti"]),
            datetime.fromtimestamp(float(claims["exp"]), UTC),
        )


def load_or_create_secret(home: Path) -> str:
    """Read `$LEOFLOW_HOME/jwt-secret`, or make it with mode 0600 on the first start.

    Several processes may start at once: the first complete file wins.
    """
    path = home / "jwt-secret"
    if not path.exists():
        descriptor, name = tempfile.mkstemp(prefix=".jwt-secret-", dir=home)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(_SECRET_BYTES))
        with suppress(FileExistsError):
            path.hardlink_to(name)
        Path(name).unlink()
    return path.read_text().strip()
