import subprocess
import sys

import pytest

import leoflow
from leoflow.cli import main as cli
from leoflow.cli.main import COMMANDS, main
from leoflow.errors import ExitCode, LeoflowError
from tools import cli_doc


def failing(error: Exception) -> object:
    def app(**_arguments: object) -> None:
        raise error

    return app


def test_help_lists_every_command_without_importing_what_it_needs() -> None:
    code = (
        "import sys; from leoflow.cli.main import main; main(['--help']);"
        "print(sorted({'psycopg', 'fastapi', 'structlog', 'rich', 'sqlalchemy', 'airflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name, command in COMMANDS.items():
        assert name in done.stdout
        assert command.help in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: leoflow {name}" in text
    assert "Example" in text or "Commands:" in text


SERVER_COMMANDS = (
    "dags", "runs", "tasks", "backfill", "assets", "variables", "connections", "pools", "push", "auth",
)  # fmt: skip


def test_commands_that_ask_a_server_import_little() -> None:
    code = (
        "import sys; from leoflow.cli.main import main;"
        f"[main([name, '--help']) for name in {SERVER_COMMANDS}];"
        "print(sorted({'psycopg', 'fastapi', 'uvicorn', 'sqlalchemy', 'jwt', 'httpx', 'yaml', 'argon2'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_documentation_of_the_commands_is_what_they_say() -> None:
    assert cli_doc.TARGET.read_text() == cli_doc.render(), "run `python -m tools.cli_doc`"


def test_every_subcommand_has_an_example() -> None:
    for section in cli_doc.TARGET.read_text().split("\n### ")[1:]:
        assert "\nExample: `" in section, section.splitlines()[0]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"leoflow {leoflow.__version__} (Airflow 3.2.2)\n"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [(["nonsense"], "No such command 'nonsense'"), (["sql", "--nonsense"], "No such option: --nonsense")],
)
def test_a_usage_error_is_exit_code_2(arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == ExitCode.USAGE
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {what}")
    assert hint.startswith("hint: see `leoflow")


def test_an_error_is_two_lines_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = LeoflowError("it is broken", where="dag.py:3", hint="mend it", exit_code=ExitCode.UNREACHABLE)
    monkeypatch.setattr(cli, "app", failing(error))
    assert main(["run"]) == 4
    assert capsys.readouterr().err == "error: it is broken: dag.py:3\nhint: mend it\n"


def test_a_mistake_of_ours_says_how_to_report_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LEOFLOW_DEBUG", raising=False)
    monkeypatch.setattr(cli, "app", failing(KeyError("x")))
    assert main(["run"]) == 1
    assert "--debug" in capsys.readouterr().err


def test_debug_anywhere_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEOFLOW_DEBUG", "")
    monkeypatch.setattr(cli, "app", failing(KeyError("x")))
    with pytest.raises(KeyError):
        main(["run", ".", "--debug"])


def test_interrupting_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "app", failing(KeyboardInterrupt()))  # type: ignore[arg-type]
    assert main(["run"]) == 130
