"""The real Task SDK, and a short way from DAG source to spec."""

import os
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leoflow.compiler import CompileError, compile_project, discover
from leoflow.spec import as_json
from tests.contract.compiler.fork_loader import ForkLoader

HEADER = "from datetime import datetime, timedelta\nfrom airflow.sdk import DAG, dag, task, task_group\n"

Compile = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """An interpreter with the Task SDK: LEOFLOW_TEST_SDK_PYTHON, else the default environment, built once."""
    if given := os.environ.get("LEOFLOW_TEST_SDK_PYTHON"):
        return Path(given)
    environments = pytest.importorskip("tests.support.environments")
    return Path(environments.default_python())


@pytest.fixture(scope="session")
def loader(sdk_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkLoader]:
    opened = ForkLoader(sdk_python, tmp_path_factory.mktemp("airflow"))
    yield opened
    opened.close()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a project; keyword `yaml` is leoflow.yaml, others are further files."""

    def write_project(source: str, *, yaml: str | None = None, files: dict[str, str] | None = None) -> Path:
        root = tmp_path / "project"
        texts = {"dag.py": HEADER + textwrap.dedent(source), **(files or {})}
        if yaml is not None:
            texts["leoflow.yaml"] = textwrap.dedent(yaml)
        for name, text in texts.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    return write_project


@pytest.fixture
def compiled(write: Callable[..., Path], loader: ForkLoader) -> Compile:
    """Compile source with one DAG; return its dag.json."""

    async def compile_source(source: str, **project: Any) -> dict[str, Any]:
        [found] = discover(write(source, **project))
        [dag] = await compile_project(found, loader)
        return as_json(dag.spec)

    return compile_source


@pytest.fixture
def refused(write: Callable[..., Path], loader: ForkLoader) -> Callable[..., Awaitable[CompileError]]:
    """Compile source that must be refused; return the error."""

    async def compile_source(source: str, **project: Any) -> CompileError:
        [found] = discover(write(source, **project))
        with pytest.raises(CompileError) as caught:
            await compile_project(found, loader)
        return caught.value

    return compile_source


def task_of(spec: dict[str, Any], task_id: str) -> dict[str, Any]:
    """Return one task of a spec."""
    found: dict[str, Any] = next(task for task in spec["tasks"] if task["task_id"] == task_id)
    return found
