from typing import Any

import psycopg
import pytest
from psycopg import Connection

from leoflow.db import repeatable
from leoflow.db.repeatable import ObjectName, SqlFile
from leoflow.errors import LeoflowError


@pytest.fixture
def database(empty_database_url: str) -> Any:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("set search_path = pg_catalog")
        connection.execute("create schema leoflow_core; create schema leoflow")
        connection.execute("create table leoflow.noun (a int, b int); insert into leoflow.noun values (1, 2)")
        repeatable.prepare(connection)
        yield connection


def function(text: str, path: str = "functions/f.sql") -> SqlFile:
    return SqlFile(path, f"create or replace function leoflow.f{text};")


def view(columns: str, path: str = "views/v.sql", name: str = "v", source: str = "noun") -> SqlFile:
    return SqlFile(path, f"create or replace view leoflow.{name} as select {columns} from leoflow.{source};")


def one(connection: Connection[Any], query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def overloads(connection: Connection[Any]) -> list[str]:
    found = connection.execute("select oid::regprocedure::text from pg_proc where proname = 'f' order by 1")
    return [signature for (signature,) in found]


def test_objects_are_found_in_the_text() -> None:
    text = "create or replace function leoflow.F(x int) …;\n  CREATE VIEW leoflow_core.v as …; create view other"
    assert SqlFile("x.sql", text).objects == (
        ObjectName("function", "leoflow", "f"),
        ObjectName("view", "leoflow_core", "v"),
    )


def test_a_changed_body_replaces_and_keeps_dependents(database: Connection[Any]) -> None:
    repeatable.apply(database, (function("() returns int return 1"),))
    database.execute("create view public.mine as select leoflow.f() as x")
    repeatable.apply(database, (function("() returns int return 2"),))
    assert one(database, "select x from public.mine") == 2


def test_a_new_signature_drops_the_old_overload(database: Connection[Any]) -> None:
    repeatable.apply(database, (function("(a int) returns int return 1"),))
    repeatable.apply(database, (function("(a int, b int default 2) returns int return a + b"),))
    assert overloads(database) == ["leoflow.f(integer,integer)"]
    assert one(database, "select leoflow.f(1)") == 3


def test_overloads_of_one_file_both_stay(database: Connection[Any]) -> None:
    both = SqlFile(
        "functions/f.sql",
        "create or replace function leoflow.f(a int) returns int return 1;"
        "create or replace function leoflow.f(a text) returns int return 2;",
    )
    repeatable.apply(database, (both,))
    repeatable.apply(database, (both, view("a")))
    assert overloads(database) == ["leoflow.f(integer)", "leoflow.f(text)"]


def test_another_return_type_is_applied_although_postgres_cannot_replace_it(database: Connection[Any]) -> None:
    user = SqlFile("views/v.sql", "create or replace view leoflow.v as select leoflow.f() as x;")
    repeatable.apply(database, (function("() returns int return 1"), user))
    repeatable.apply(database, (function("() returns text return 'one'"), user))
    assert one(database, "select x from leoflow.v") == "one"


def test_a_removed_view_column_is_applied_although_postgres_cannot_replace_it(database: Connection[Any]) -> None:
    above = view("a", path="views/w.sql", name="w", source="v")
    repeatable.apply(database, (view("a, b"), above))
    repeatable.apply(database, (view("a"), above))
    assert one(database, "select count(*) from information_schema.columns where table_name = 'v'") == 1
    assert one(database, "select a from leoflow.w") == 1


def test_files_may_stand_in_any_order(database: Connection[Any]) -> None:
    first = view("a", path="views/a.sql", name="first", source="second")
    second = view("a, leoflow.f() as x", path="views/b.sql", name="second")
    repeatable.apply(database, (first, second, function("() returns int return 1")))
    assert one(database, "select a from leoflow.first") == 1


def test_vanished_files_take_their_objects_along(database: Connection[Any]) -> None:
    repeatable.apply(database, (function("() returns int return 1"), view("a, leoflow.f() as x")))
    repeatable.apply(database, (view("a"),))
    assert overloads(database) == []
    repeatable.apply(database, ())
    assert one(database, "select to_regclass('leoflow.v')") is None


def test_a_users_object_is_never_dropped(database: Connection[Any]) -> None:
    repeatable.apply(database, (view("a, b"),))
    database.execute("create view public.mine as select b from leoflow.v")
    with pytest.raises(LeoflowError, match=r"yours \(view public\.mine depends on view leoflow\.v\)"):
        repeatable.apply(database, (view("a"),))
    assert one(database, "select b from public.mine") == 2


def test_a_mistake_names_file_and_line_and_changes_nothing(database: Connection[Any]) -> None:
    repeatable.apply(database, (view("a"),))
    broken = SqlFile("functions/f.sql", "create or replace function leoflow.f() returns int\nreturn nonsense(1);")
    with pytest.raises(LeoflowError, match=r"nonsense.*sql/functions/f\.sql:2"):
        repeatable.apply(database, (broken,))
    assert one(database, "select a from leoflow.v") == 1


def test_one_name_in_two_files_is_our_mistake(tmp_path: Any) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.sql").write_text("create or replace view leoflow.v as select 1;")
    with pytest.raises(ValueError, match=r"view leoflow\.v is defined in a\.sql and in b\.sql"):
        repeatable.read_files(tmp_path, sorted(tmp_path.iterdir()))


def test_objects_of_a_newer_program_are_recognised(database: Connection[Any]) -> None:
    repeatable.apply(database, (view("a"),))
    assert repeatable.newer_program(database) is None
    database.execute("update leoflow_core.applied_object set program_version = '99.0.1'")
    assert repeatable.newer_program(database) == "99.0.1"
