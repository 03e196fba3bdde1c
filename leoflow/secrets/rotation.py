"""Changing the key: a new one in front of the file, everything stored sealed again with it, then the old one forgotten.

Each batch is a transaction of its own and a value sealed already is left alone, so that a rotation may be killed at
any point and run again. While it runs every value can be read: by the new key or by an old one.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection

from leoflow.crypto import KEY_FILE, SecretBox, read_keys, write_keys
from leoflow.db import queries
from leoflow.errors import LeoflowError
from leoflow.secrets import connections

BATCH = 200
_FIRST = ""

Connection = AsyncConnection[Any]
Reseal = Callable[[SecretBox, bytes], bytes | None]
"""Gives a value sealed with the key that writes now; None when it is already."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did.

    Attributes:
        new_key: whether a new key was taken into use; False when an unfinished rotation was completed.
        resealed: how many variables and connections were sealed again.
        old_keys: how many keys are left that only read.
    """

    new_key: bool
    resealed: int
    old_keys: int


async def rotate(connection: Connection, home: Path) -> Rotated:
    """Take a new key into use and seal everything with it; complete an earlier rotation that was interrupted.

    Raises:
        LeoflowError: a stored value can be read with none of the keys.
    """
    with _alone(home):
        box = SecretBox.load_or_create(home)
        unfinished = await reseal(connection, box, only_look=True) > 0 and len(read_keys(home).current) > 1
        if not unfinished:
            write_keys(home, read_keys(home).rotated())
            box = SecretBox.load_or_create(home)
        resealed = 0
        while changed := await reseal(connection, box):  # again: others may have written with an old key meanwhile
            resealed += changed
        return Rotated(not unfinished, resealed, len(read_keys(home).current) - 1)


async def forget_old_keys(connection: Connection, home: Path) -> int:
    """Remove the keys nothing stored needs any more; returns how many."""
    with _alone(home):
        box = SecretBox.load_or_create(home)
        while await reseal(connection, box):
            pass
        keys = read_keys(home)
        write_keys(home, keys.only_the_first())
        return len(keys.current) - 1


def prepare(home: Path) -> None:
    """Put the next key into the file, only to be read yet, so that it can be copied to other machines first."""
    with _alone(home):
        write_keys(home, read_keys(home).with_prepared())


async def reseal(connection: Connection, box: SecretBox, *, only_look: bool = False) -> int:
    """Seal with the key that writes now whatever another key sealed; returns how many values that were.

    Args:
        connection: autocommit connection.
        box: the keys.
        only_look: count, change nothing.

    Raises:
        LeoflowError: a stored value can be read with none of the keys; names it.
    """
    found = await _reseal_table(connection, box, "variables", _variable, only_look)
    return found + await _reseal_table(connection, box, "connections", _connection, only_look)


async def seal_what_was_readable(connection: Connection, home: Path) -> int:
    """Seal the connections that were stored by a version which left parts of them readable; returns how many."""
    row = await (await connection.execute(queries.load("secrets").readable_connections.encode())).fetchone()
    if not row or not row[0]:
        return 0
    return await _reseal_table(connection, SecretBox.load_or_create(home), "connections", _connection, False)


async def _reseal_table(connection: Connection, box: SecretBox, table: str, again: Reseal, only_look: bool) -> int:
    sql = queries.load("secrets")
    after, found = _FIRST, 0
    while True:
        async with connection.transaction():
            cursor = await connection.execute(
                sql[f"lock_{table}"].encode(), {"after": after, "limit": BATCH}, prepare=False
            )
            rows = await cursor.fetchall()
            changed = [(key, value) for key, old in rows if (value := _again(again, box, table, key, old)) is not None]
            if changed and not only_look:
                await connection.execute(
                    sql[f"reseal_{table}"].encode(),
                    {"keys": [key for key, _ in changed], "values": [value for _, value in changed]},
                )
        found += len(changed)
        if len(rows) < BATCH:
            return found
        after = rows[-1][0]


def _again(again: Reseal, box: SecretBox, table: str, key: str, value: bytes) -> bytes | None:
    try:
        return again(box, bytes(value))
    except LeoflowError as error:
        raise LeoflowError(error.what, where=f"{table}: {key}", hint=error.hint) from error


def _variable(box: SecretBox, value: bytes) -> bytes | None:
    return None if box.is_current(value) else box.encrypt(box.decrypt(value))


def _connection(box: SecretBox, sealed: bytes) -> bytes | None:
    return None if connections.is_current(box, sealed) else connections.seal(box, connections.unseal(box, sealed))


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold off other rotations of this home."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home / f".{KEY_FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
