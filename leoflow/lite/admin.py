"""The administrator of a Lite home: made on first start, its password in a file only the user can read."""

import os
import secrets
from pathlib import Path

from leoflow.api.auth import users
from leoflow.db import Pool

NAME = "admin"
FILE_NAME = "admin-password"


async def ensure_admin(pool: Pool, home: Path) -> str | None:
    """Create the administrator if there is none. Returns the new password to show once, else None."""
    async with pool.connection() as connection:
        known = await users.role_of(connection, NAME, token_id="") is not None
    if known and (home / FILE_NAME).is_file():
        return None
    return await set_password(pool, home, secrets.token_urlsafe(12))


async def set_password(pool: Pool, home: Path, password: str) -> str:
    """Store a password of the administrator, in the database first, so that the file is never ahead of it."""
    async with pool.connection() as connection:
        await users.put_user(connection, NAME, password, "admin")
    write_private(home / FILE_NAME, password + "\n")
    return password


def write_private(file: Path, text: str) -> None:
    """Replace a file at once by one that only its owner can read."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    fresh.replace(file)
