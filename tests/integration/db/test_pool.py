import pytest

from leoflow.db.pool import Pool, describe, open_pool
from leoflow.errors import ExitCode, UnreachableError

pytestmark = pytest.mark.anyio


async def test_connections_are_autocommit_and_in_utc(pool: Pool) -> None:
    async with pool.connection() as connection:
        assert connection.autocommit
        row = await (await connection.execute("show time zone")).fetchone()
        assert row == ("UTC",)


async def test_an_unreachable_database_is_said_at_once_without_the_password() -> None:
    with pytest.raises(UnreachableError) as caught:
        await open_pool("postgresql://me:secret@127.0.0.1:1/none")
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert "127.0.0.1:1/none as me" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_describe_leaves_out_passwords_even_of_unparsable_urls() -> None:
    assert "secret" not in describe("postgresql://a:secret@h/db")
    assert "secret" not in describe("nonsense secret")
