"""The diagram, the data and the database agree."""

import re
from pathlib import Path

import pytest

from tests.sql.dags import Connection

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parent.parent.parent
DOC = (ROOT / "docs" / "state-machine.md").read_text()


async def transitions(conn: Connection) -> set[tuple[str, str, str]]:
    cursor = await conn.execute("select from_state, to_state, by from leoflow_core.task_instance_transition")
    return {(row[0], row[1], row[2]) for row in await cursor.fetchall()}


async def test_the_document_lists_exactly_the_legal_transitions(connection: Connection) -> None:
    written = {
        (start, end, function)
        for start, end, functions in re.findall(r"^\| (\w+) \| (\w+) \| ([\w, ]+) \|$", DOC, re.MULTILINE)
        for function in functions.split(", ")
        if start != "from"
    }
    assert written == await transitions(connection)


async def test_the_diagram_shows_only_legal_transitions(connection: Connection) -> None:
    drawn = set(re.findall(r"^ +(\w+) --> (\w+):", DOC, re.MULTILINE))
    assert drawn
    assert drawn <= {(start, end) for start, end, _ in await transitions(connection)}


async def test_every_state_and_every_function_named_exists(connection: Connection) -> None:
    cursor = await connection.execute("select unnest(enum_range(null::leoflow.task_instance_state))::text")
    states = {row[0] for row in await cursor.fetchall()} | {"none"}
    legal = await transitions(connection)
    assert {state for start, end, _ in legal for state in (start, end)} == states
    cursor = await connection.execute(
        "select proname from pg_proc join pg_namespace as n on n.oid = pronamespace "
        "where nspname in ('leoflow', 'leoflow_core')"
    )
    assert {function for _, _, function in legal} <= {row[0] for row in await cursor.fetchall()}


async def test_everything_has_a_comment(connection: Connection) -> None:
    cursor = await connection.execute(
        """
        select 'table ' || c.relname from pg_class as c
        where c.relnamespace in ('leoflow'::regnamespace, 'leoflow_core'::regnamespace) and c.relkind in ('r', 'p', 'v')
            and not c.relispartition and c.relname not in ('alembic_version', 'applied_object')
            and obj_description(c.oid, 'pg_class') is null
        union all
        select 'function ' || p.proname from pg_proc as p
        where p.pronamespace in ('leoflow'::regnamespace, 'leoflow_core'::regnamespace)
            and obj_description(p.oid, 'pg_proc') is null
        """
    )
    assert await cursor.fetchall() == []


async def test_security_definer_functions_pin_their_search_path(connection: Connection) -> None:
    cursor = await connection.execute(
        "select proname from pg_proc where pronamespace in ('leoflow'::regnamespace, 'leoflow_core'::regnamespace) "
        "and prosecdef and not coalesce(proconfig::text, '') like '%search_path=pg_catalog, pg_temp%'"
    )
    assert await cursor.fetchall() == []


def test_every_function_says_its_contract_locks_and_callers() -> None:
    for file in sorted((ROOT / "sql" / "functions").glob("*.sql")):
        for header in re.findall(r"((?:^--.*\n)+)create or replace function", file.read_text(), re.MULTILINE):
            text = header.lower()
            assert "locks:" in text and "callers:" in text, (file.name, header)
