from pathlib import Path

import pytest

from leoflow.config import Settings, load_settings
from leoflow.errors import ExitCode, LeoflowError
from tools.configuration_doc import TARGET, render


def write(home: Path, text: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(text)


def test_environment_wins_over_file_and_file_over_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, 'port = 9001\nhost = "127.0.0.2"\n[postgres]\npool_max_size = 3\n')
    monkeypatch.setenv("LEOFLOW_PORT", "9002")
    monkeypatch.setenv("LEOFLOW_POSTGRES__CONNECT_TIMEOUT_SECONDS", "4")
    settings = load_settings()
    assert (settings.port, settings.host, settings.slots) == (9002, "127.0.0.2", None)
    assert (settings.postgres.pool_max_size, settings.postgres.connect_timeout_seconds) == (3, 4)


def test_options_win_over_everything_and_none_means_not_given(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEOFLOW_PORT", "9002")
    assert load_settings(port=9003).port == 9003
    assert load_settings(port=None).port == 9002


def test_the_file_of_the_chosen_home_is_read(tmp_path: Path, home: Path) -> None:
    write(home, "port = 9001\n")
    write(tmp_path / "other", "port = 9004\n")
    assert load_settings(home=tmp_path / "other").port == 9004


def test_home_is_absolute_and_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEOFLOW_HOME", "~/elsewhere")
    assert load_settings().home == Path.home() / "elsewhere"


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("prot = 9000", "unknown setting: prot", "did you mean 'port'?"),
        ("[postgres]\npool_max = 1", "unknown setting: postgres.pool_max", "did you mean 'pool_max_size'?"),
        ("port = 99999", "invalid setting", "docs/configuration.md"),
        ("port = ", "not valid TOML", "correct the line"),
    ],
)
def test_a_mistake_in_the_file_is_explained(home: Path, text: str, what: str, hint: str) -> None:
    write(home, text)
    with pytest.raises(LeoflowError) as caught:
        load_settings()
    assert what in str(caught.value)
    assert hint in caught.value.hint


def test_a_mistake_in_the_environment_names_the_variable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEOFLOW_PORT", "many")
    with pytest.raises(LeoflowError, match="environment variable LEOFLOW_PORT") as caught:
        load_settings()
    assert caught.value.exit_code == ExitCode.USAGE


def test_the_database_password_is_not_printed(home: Path) -> None:
    settings = load_settings(database_url="postgresql://me:hunter2@host/db")
    assert "hunter2" not in repr(settings)
    assert settings.dsn == "postgresql://me:hunter2@host/db"


def test_every_setting_says_what_it_means() -> None:
    assert isinstance(Settings.model_fields, dict)
    rows = [line for line in render().splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []


def test_the_committed_page_is_current() -> None:
    assert TARGET.read_text() == render(), "run `python -m tools.configuration_doc`"
