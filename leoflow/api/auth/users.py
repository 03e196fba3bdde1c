"""Users and revoked tokens in Postgres, and passwords with argon2 (hashed off the event loop)."""

import asyncio
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from psycopg import AsyncConnection

_hasher = PasswordHasher()

# Verified when the user does not exist, so that the answer takes as long as for one who does.
_NOBODY = _hasher.hash("nobody has this password")


async def role_of(conn: AsyncConnection[Any], user_name: str, token_id: str) -> str | None:
    """Return the role of an active user whose token was not revoked, else None."""
    cursor = await conn.execute(
        "select role from leoflow_core.app_user u"
        " where u.user_name = %s and u.is_active"
        " and not exists (select from leoflow_core.revoked_token t where t.jti = %s)",
        [user_name, token_id],
    )
    row = await cursor.fetchone()
    return str(row[0]) if row else None


async def first_admin(conn: AsyncConnection[Any]) -> str | None:
    """Return the name of the oldest active administrator."""
    cursor = await conn.execute(
        "select user_name from leoflow_core.app_user where lower(role) = 'admin' and is_active"
        " order by created_at, user_name limit 1"
    )
    row = await cursor.fetchone()
    return str(row[0]) if row else None


async def authenticate(conn: AsyncConnection[Any], user_name: str, password: str) -> str | None:
    """Return the user's role when the password is right, else None, in the same time."""
    cursor = await conn.execute(
        "select password_hash, role from leoflow_core.app_user where user_name = %s and is_active",
        [user_name],
    )
    row = await cursor.fetchone()
    matches = await asyncio.to_thread(_verify, (row and row[0]) or _NOBODY, password)
    return str(row[1]) if row and row[0] and matches else None


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


async def put_user(conn: AsyncConnection[Any], user_name: str, password: str, role: str) -> None:
    """Create a user, or set the password and role of an existing one."""
    password_hash = await asyncio.to_thread(_hasher.hash, password)
    await conn.execute(
        "insert into leoflow_core.app_user (user_name, password_hash, role) values (%s, %s, %s)"
        " on conflict (user_name) do update set password_hash = excluded.password_hash, role = excluded.role",
        [user_name, password_hash, role],
    )


async def revoke(conn: AsyncConnection[Any], token_id: str, expires_at: Any) -> None:
    """Refuse a token from now on; the row can go once the token would have expired."""
    await conn.execute(
        "insert into leoflow_core.revoked_token (jti, exp) values (%s, %s) on conflict do nothing",
        [token_id, expires_at],
    )
