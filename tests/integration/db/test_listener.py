import psycopg
import pytest

from leoflow.db.listener import Listener, Notification
from leoflow.errors import UnreachableError

pytestmark = pytest.mark.anyio


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)


async def test_notifications_arrive_in_order(database_url: str) -> None:
    async with Listener(database_url, ["nouns"]) as listener:
        execute(database_url, "notify nouns, 'a'; notify nouns, 'b'; notify other, 'c'")
        got: list[Notification] = []
        while len(got) < 2:
            got += await listener.wait(10)
        assert got == [Notification("nouns", "a"), Notification("nouns", "b")]


async def test_waiting_times_out_with_nothing(database_url: str) -> None:
    async with Listener(database_url, ["nouns"]) as listener:
        assert await listener.wait(0.01) == []


async def test_a_killed_connection_comes_back_and_wakes_every_channel(database_url: str) -> None:
    async with Listener(database_url, ["nouns", "verbs"], application_name="victim") as listener:
        execute(
            database_url,
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'victim' and datname = current_database()",
        )
        assert await listener.wait(10) == [Notification("nouns", ""), Notification("verbs", "")]
        execute(database_url, "notify verbs, 'again'")
        assert await listener.wait(10) == [Notification("verbs", "again")]


async def test_wake_from_inside_ends_the_wait(database_url: str) -> None:
    async with Listener(database_url, ["nouns"]) as listener:
        listener.wake()
        assert await listener.wait(None) == []


async def test_a_listener_without_a_database_says_so() -> None:
    with pytest.raises(UnreachableError):
        async with Listener("postgresql://127.0.0.1:1/none", ["nouns"]):
            pass
