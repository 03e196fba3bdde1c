"""Arrays in binary arrive as the lists they were."""

import uuid
from typing import Any

import pytest

from leoflow.db import arrays
from leoflow.db.pool import Pool

pytestmark = pytest.mark.anyio

UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("kind", "type_name", "items"),
    [
        (arrays.Ints, "integer[]", [0, -1, 2**31 - 1, -(2**31)]),
        (arrays.Bigints, "bigint[]", [1, 2**63 - 1, -(2**63)]),
        (arrays.Uuids, "uuid[]", [UUID, None]),
        (arrays.Bools, "boolean[]", [True, False, None]),
        (arrays.Texts, "text[]", ["", 'quo"te\\ {,} null', None, "ünï\n", "NULL"]),
        (arrays.Byteas, "bytea[]", [b"", b"\x00\xff\\x", b"{}"]),
        (arrays.Ints, "integer[]", []),
        (arrays.Texts, "text[]", []),
    ],
)
async def test_an_array_arrives_as_it_was(pool: Pool, kind: Any, type_name: str, items: list[Any]) -> None:
    async with pool.connection() as connection:
        cursor = await connection.execute("select %s, pg_typeof(%s)::text", (kind(items), kind(items)))
        assert await cursor.fetchone() == (items, type_name)


async def test_json_documents_arrive_as_json(pool: Pool) -> None:
    documents = arrays.Jsonbs([b'{"a": [1, null]}', None])
    async with pool.connection() as connection:
        cursor = await connection.execute("select %s", (documents,))
        assert await cursor.fetchone() == ([{"a": [1, None]}, None],)
