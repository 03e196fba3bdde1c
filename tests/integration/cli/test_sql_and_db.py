import io
import json
from pathlib import Path

import psycopg
import pytest
import yaml

from leoflow.cli.main import main
from leoflow.errors import ExitCode


@pytest.fixture(autouse=True)
def database(database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LEOFLOW_DATABASE_URL", database_url)
    return database_url


Captured = pytest.CaptureFixture[str]


def test_a_query_prints_one_document(capsys: Captured) -> None:
    assert main(["sql", "select 1 as one, '{\"a\": [null]}'::jsonb as j, now() as t", "-o", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["one"], row["j"]) == (1, {"a": [None]})
    assert main(["sql", "select 1 as one, null as two", "--output", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == [{"one": 1, "two": None}]


def test_in_a_pipe_a_table_is_tab_separated(capsys: Captured) -> None:
    assert main(["sql", "select 1 as one, null as two, 'x' as three"]) == 0
    assert capsys.readouterr().out == "one\ttwo\tthree\n1\t\tx\n"


def test_public_views_are_found_with_and_without_schema(capsys: Captured) -> None:
    assert main(["sql", "select count(*) as n from dags union all select count(*) from leoflow.dag_runs"]) == 0
    assert capsys.readouterr().out == "n\n0\n0\n"


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("insert into leoflow_core.pool (name, slots) values ('x', 1)", "permission denied"),
        ("select * from leoflow_core.connection", "permission denied"),
        ("create temp table t (a int)", "only reading is allowed here"),
        ("select 1; reset role", "one statement at a time"),
        ("reset role; drop schema leoflow cascade", "one statement at a time"),
        ("select nothing_like_it", 'column "nothing_like_it" does not exist'),
    ],
)
def test_what_is_not_reading_is_refused(query: str, what: str, capsys: Captured, database: str) -> None:
    assert main(["sql", query]) == ExitCode.FAILED
    assert what in capsys.readouterr().err
    with psycopg.connect(database) as connection:
        row = connection.execute("select to_regclass('leoflow.dags') is not null").fetchone()
        assert row == (True,)


def test_a_slow_statement_is_ended(capsys: Captured) -> None:
    assert main(["sql", "--timeout", "0.05", "select pg_sleep(30)"]) == ExitCode.FAILED
    assert "took longer than 0.05 s" in capsys.readouterr().err


def test_the_console_reads_several_statements(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("select 1\n  as a;\n\\d dags\n\\d\nselect 2 as b"))
    assert main(["sql"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("a\n1\n")
    assert out.endswith("b\n2\n")
    assert "dag_id\ttext" in out
    assert "map_reduce\t" in out


def test_check_says_whether_the_schema_is_current(capsys: Captured, database: str) -> None:
    assert main(["db", "check"]) == 0
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update leoflow_core.applied_object set digest = '' where path = 'roles.sql'")
    assert main(["db", "check", "--output", "json"]) == ExitCode.FAILED
    assert json.loads(capsys.readouterr().out.partition("\n")[2])["stale_objects"] == ["roles.sql"]
    assert main(["db", "check"]) == ExitCode.FAILED
    assert "hint: run `leoflow db migrate`" in capsys.readouterr().err
    assert main(["db", "migrate"]) == 0
    assert main(["db", "check"]) == 0


def test_url_prints_the_database_in_use(capsys: Captured, database: str) -> None:
    assert main(["db", "url"]) == 0
    assert capsys.readouterr().out.strip() == database


def test_an_unreachable_database_is_exit_code_4(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("LEOFLOW_DATABASE_URL", "postgresql://me:hidden@127.0.0.1:1/none")
    for command in (["sql", "select 1"], ["db", "migrate"], ["db", "check"]):
        assert main(command) == ExitCode.UNREACHABLE
    assert "hidden" not in capsys.readouterr().err


def test_downgrading_asks_first(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["db", "downgrade", "base"]) == ExitCode.FAILED
    assert main(["db", "check"]) == 0


def test_doctor_tells_what_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: Captured, database: str) -> None:
    main(["doctor", "-o", "json"])
    document = json.loads(capsys.readouterr().out)
    checks = {check["check"]: check for check in document["checks"]}
    assert checks["database"]["verdict"] == "ok"
    assert checks["user interface"]["verdict"] == "warning"
    assert checks["forking"]["detail"] == "attempts of all DAGs are forked"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("insert into leoflow_core.dag (dag_id) values ('rpc')")
        connection.execute("select leoflow_core.set_spawn_reason('rpc', 'importing the DAG file loaded gRPC')")
    main(["doctor", "-o", "json"])
    checks = {check["check"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["forking"]["verdict"] == "warning"
    assert "rpc" in checks["forking"]["detail"] and "loaded gRPC" in checks["forking"]["detail"]
    monkeypatch.setenv("LEOFLOW_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    assert main(["doctor"]) == ExitCode.FAILED
    assert "cannot be reached" in capsys.readouterr().out
