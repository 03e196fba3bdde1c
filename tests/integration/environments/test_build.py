"""Real environments, built by the real uv from the configured index."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from leoflow.environments import DEFAULT_ENVIRONMENT, Environment, EnvironmentSpec, ensure
from leoflow.environments.airflow_ui import ensure_ui, is_complete, ui_directory
from leoflow.errors import LeoflowError
from tests.support.environments import default_python, shared_home

pytestmark = pytest.mark.anyio


def run(environment: Environment, code: str) -> str:
    return subprocess.run([environment.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


async def test_the_default_environment_runs_airflows_sdk_and_is_kept() -> None:
    default_python()
    told: list[str] = []
    environment = await ensure(DEFAULT_ENVIRONMENT, shared_home(), told.append)
    assert told == []
    assert run(environment, "import airflow.sdk as s; print(s.__version__)").splitlines()[-1] == "1.2.2"


async def test_two_builders_of_one_environment_build_it_once(tmp_path: Path) -> None:
    spec = EnvironmentSpec(None, ("iniconfig==2.1.0",))
    (tmp_path / "envs" / f".new-{spec.key}-killed").mkdir(parents=True)
    told: list[str] = []
    first, second = await asyncio.gather(ensure(spec, tmp_path, told.append), ensure(spec, tmp_path, told.append))
    assert first == second
    assert run(first, "import iniconfig, importlib.metadata as m; print(m.version('iniconfig'))") == "2.1.0"
    assert sum(line.startswith("creating") for line in told) == 1
    assert "waiting for another process that builds the same environment" in told
    assert sorted(path.name for path in (tmp_path / "envs").iterdir()) == [spec.key, f"{spec.key}.lock"]


@pytest.mark.parametrize(
    ("dependency", "message"),
    [
        ("leoflow-no-such-package-of-this-name", "was not found"),
        ("pydantic<2", "apache-airflow-task-sdk==1.2.2 depends on pydantic"),
        ("not a name!", "dependencies cannot be installed"),
    ],
)
async def test_dependencies_that_cannot_be_are_explained(tmp_path: Path, dependency: str, message: str) -> None:
    spec = EnvironmentSpec(None, (dependency,))
    with pytest.raises(LeoflowError) as caught:
        await ensure(spec, tmp_path)
    assert message in str(caught.value)
    assert "dependencies" in caught.value.hint
    assert [path.name for path in (tmp_path / "envs").iterdir()] == [f"{spec.key}.lock"]


async def test_a_python_that_is_not_there_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setenv("UV_PYTHON_PREFERENCE", "only-system")
    monkeypatch.setenv("PATH", str(tmp_path))
    other = "3.10" if DEFAULT_ENVIRONMENT.python != "3.10" else "3.13"
    with pytest.raises(LeoflowError, match=rf"Python {other} is not installed") as caught:
        await ensure(EnvironmentSpec(other), tmp_path)
    assert f"python{other}" in caught.value.hint


async def test_an_unsupported_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LeoflowError, match=r"Python 3\.9 is not supported"):
        await ensure(EnvironmentSpec("3.9"), tmp_path)


async def test_a_build_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(LeoflowError, match="took longer"):
        await ensure(DEFAULT_ENVIRONMENT, tmp_path, timeout=0.001)


async def test_the_ui_is_taken_whole_and_mended(tmp_path: Path) -> None:
    site_packages = next(default_python().parent.parent.glob("lib/python3*/site-packages"))
    directory = await ensure_ui(tmp_path, site_packages=site_packages)
    assert directory == ui_directory(tmp_path)
    assert "<title>" in (directory / "app" / "index.html").read_text()
    assert list((directory / "app" / "assets").glob("*.js"))
    assert (directory / "login" / "index.html").is_file()
    (directory / "app" / "index.html").write_text("")
    assert not is_complete(directory)
    await ensure_ui(tmp_path, site_packages=site_packages)
    assert is_complete(directory)


async def test_the_ui_can_be_downloaded(tmp_path: Path) -> None:
    assert is_complete(await ensure_ui(tmp_path))
