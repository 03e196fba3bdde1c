"""What each database role may do, and that public functions take part in their caller's transaction."""

from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from leoflow import engine
from tests.sql.dags import Connection, chain, drain, new_worker, run_of, scalar

pytestmark = pytest.mark.anyio

ROLES = ("leoflow_reader", "leoflow_operator")

PUBLIC_VIEWS: LiteralString = """
    select c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'leoflow' and c.relkind = 'v' order by 1
"""
ACTING: LiteralString = """
    select p.proname, p.prosecdef, coalesce(array_to_string(p.proconfig, ','), '')
    from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
    where n.nspname = 'leoflow' order by 1
"""
ACTIONS: tuple[LiteralString, ...] = (
    "select leoflow.trigger_dag('etl', run_id => 'by_hand')",
    "select leoflow.set_paused('etl', true)",
    "select leoflow.clear_tasks('etl', 'first')",
    "select leoflow.mark_tasks('etl', 'first', jsonb_build_array('b'), 'failed')",
    "select leoflow.cancel_run('etl', 'second')",
    "select leoflow.create_asset_event('orders')",
)


async def names_of(connection: Connection, query: LiteralString) -> list[tuple[str, ...]]:
    return await (await connection.execute(query)).fetchall()


async def runs_there(connection: Connection) -> None:
    """One finished run, one that waits, and an asset."""
    worker = await new_worker(connection)
    await run_of(connection, chain("etl", "a", "b"), run_id="first")
    await drain(connection, worker)
    await engine.create_run(connection, "etl", run_id="second")
    await connection.execute(
        "insert into leoflow_core.asset (name, uri, asset_group, is_active) values ('orders', 'orders', '', true)"
    )


@pytest.mark.parametrize("role", ROLES)
async def test_every_public_view_can_be_read_by(role: str, connection: Connection) -> None:
    await runs_there(connection)
    views = await names_of(connection, PUBLIC_VIEWS)
    assert {"dags", "dag_runs", "task_instances", "queue", "map_reduce"} <= {name for name, *_ in views}
    await connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
    for name, *_ in views:
        await connection.execute(sql.SQL("select * from leoflow.{}").format(sql.Identifier(name)))


@pytest.mark.parametrize("role", ROLES)
async def test_what_is_private_stays_closed_to(role: str, connection: Connection) -> None:
    await connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
    for statement in ("select * from leoflow_core.dag", "delete from leoflow_core.dag_run"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement)


@pytest.mark.parametrize("action", ACTIONS)
async def test_readers_may_not_act(action: LiteralString, connection: Connection) -> None:
    await runs_there(connection)
    await connection.execute("set role leoflow_reader")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await connection.execute(action)


@pytest.mark.parametrize("action", ACTIONS)
async def test_operators_act_within_their_own_transaction(action: LiteralString, connection: Connection) -> None:
    await runs_there(connection)
    before = await everything(connection)
    await connection.execute("set role leoflow_operator")
    with pytest.raises(ZeroDivisionError):
        async with connection.transaction():
            await connection.execute(action)
            raise ZeroDivisionError
    await connection.execute("reset role")
    assert await everything(connection) == before
    await connection.execute("set role leoflow_operator")
    await connection.execute(action)
    await connection.execute("reset role")
    assert await everything(connection) != before


async def everything(connection: Connection) -> object:
    """What users can see of runs, instances, DAGs and actions."""
    return await scalar(
        connection,
        """select jsonb_build_array(
            (select jsonb_agg(to_jsonb(r) - 'duration' order by r.run_key) from leoflow.dag_runs as r),
            (select jsonb_agg(to_jsonb(t) - 'duration' order by t.run_key, t.task_id) from leoflow.task_instances as t),
            (select jsonb_agg(to_jsonb(d) order by d.dag_id) from leoflow.dags as d),
            (select count(*) from leoflow.audit_log), (select count(*) from leoflow.asset_events)
        )""",
    )


async def test_functions_that_act_for_others_pin_their_search_path(connection: Connection) -> None:
    unpinned = [
        name
        for name, acts_for_others, config in await names_of(connection, ACTING)
        if acts_for_others and "search_path" not in config
    ]
    assert unpinned == []
