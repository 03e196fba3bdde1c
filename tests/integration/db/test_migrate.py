import asyncio

import psycopg
import pytest

from leoflow.db import migrate
from leoflow.errors import ExitCode, LeoflowError, UnreachableError

pytestmark = pytest.mark.anyio


def one(dsn: str, query: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


async def test_an_empty_database_gets_everything_once(empty_database_url: str) -> None:
    before = await migrate.upgrade(empty_database_url)
    assert before.revision is None
    assert before.pending[0] == "0001"
    after = await migrate.check(empty_database_url)
    assert after.current
    assert after.revision == after.wanted == before.pending[-1]
    assert (await migrate.upgrade(empty_database_url)).current


async def test_many_processes_may_migrate_at_once(empty_database_url: str) -> None:
    seen = await asyncio.gather(*(migrate.upgrade(empty_database_url) for _ in range(4)))
    assert sorted(status.revision or "" for status in seen)[0] == ""
    assert sum(bool(status.pending) for status in seen) == 1


async def test_an_old_schema_is_refused_by_processes_with_what_to_do(empty_database_url: str) -> None:
    with pytest.raises(LeoflowError, match="older than this program") as caught:
        await migrate.require_current(empty_database_url)
    assert caught.value.hint == "run `leoflow db migrate`"
    await migrate.upgrade(empty_database_url)
    await migrate.require_current(empty_database_url)


async def test_a_changed_function_is_noticed_and_applied_again(database_url: str) -> None:
    one(database_url, "update leoflow_core.applied_object set digest = 'x' where path = 'roles.sql' returning 1")
    status = await migrate.check(database_url)
    assert (status.current, status.stale_objects) == (False, ("roles.sql",))
    await migrate.upgrade(database_url)
    assert (await migrate.check(database_url)).current


@pytest.mark.parametrize(
    "change",
    [
        "update leoflow_core.alembic_version set version_num = '9999' returning 1",
        "update leoflow_core.applied_object set program_version = '99.0' returning 1",
    ],
)
async def test_a_newer_schema_is_left_alone(database_url: str, change: str) -> None:
    one(database_url, change)
    for attempt in (migrate.upgrade, migrate.check):
        with pytest.raises(LeoflowError, match="newer than this program") as caught:
            await attempt(database_url)
        assert "update leoflow" in caught.value.hint


async def test_migrations_can_be_undone_and_done_again(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url)
    await migrate.downgrade(empty_database_url, "base")
    left = one(
        empty_database_url,
        "select array_agg(n.nspname || '.' || c.relname order by c.relname) from pg_class c"
        " join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('leoflow', 'leoflow_core', 'procrastinate') and c.relkind in ('r', 'v', 'p')",
    )
    assert left in (None, ["leoflow_core.alembic_version", "leoflow_core.applied_object"])
    await migrate.upgrade(empty_database_url)
    assert (await migrate.check(empty_database_url)).current


async def test_an_unknown_revision_is_refused(database_url: str) -> None:
    with pytest.raises(LeoflowError, match="no such migration: 4711"):
        await migrate.downgrade(database_url, "4711")


async def test_an_unreachable_database_is_exit_code_4() -> None:
    with pytest.raises(UnreachableError) as caught:
        await migrate.upgrade("postgresql://127.0.0.1:1/none")
    assert caught.value.exit_code == ExitCode.UNREACHABLE


async def test_procrastinate_works_without_a_search_path(database_url: str) -> None:
    assert one(
        database_url,
        "select procrastinate.procrastinate_defer_jobs_v1(array[row('q', 'task', 0, null, null, '{}', null)]"
        "::procrastinate.procrastinate_job_to_defer_v1[]) is not null",
    )
    assert one(database_url, "select count(*) from procrastinate.procrastinate_events") == 1
