"""Airflow's own example DAGs compile, all but those that need something that is not there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from leoflow.compiler import discover, report_project
from tests.contract.compiler.fork_loader import ForkLoader

pytestmark = pytest.mark.anyio

WITHOUT_DAGS = {
    "example_kubernetes_executor.py": "defines its DAG only where the Kubernetes provider is installed",
    "example_local_kubernetes_executor.py": "defines its DAG only where the Kubernetes provider is installed",
    "plugins/decreasing_priority_weight_strategy.py": "a plugin, not a DAG file",
    "plugins/event_listener.py": "a plugin, not a DAG file",
    "plugins/listener_plugin.py": "a plugin, not a DAG file",
    "plugins/workday.py": "a plugin, not a DAG file",
}


@pytest.fixture(scope="session")
def airflow_directory(sdk_python: Path) -> Path:
    code = "import importlib.util; print(importlib.util.find_spec('airflow').submodule_search_locations[0])"
    found = subprocess.run([sdk_python, "-c", code], check=True, capture_output=True, text=True, env=os.environ)
    return Path(found.stdout.strip())


@pytest.mark.parametrize("folder", ["example_dags", "providers/standard/example_dags"])
async def test_they_compile(airflow_directory: Path, folder: str, tmp_path: Path, loader: ForkLoader) -> None:
    # Links lead out of the package in some of them; a copy is a plain dags folder as users have it.
    copy = tmp_path / "dags"
    shutil.copytree(airflow_directory / folder, copy, symlinks=False)
    projects = discover(copy)
    assert [project.root for project in projects] == [copy]
    [project] = projects
    report = await report_project(project, loader)
    assert [error.text() for error in report.errors] == []
    empty = set(project.dag_files) - {dag.spec.source.path for dag in report.dags}
    assert empty <= set(WITHOUT_DAGS)
    assert len(report.dags) >= 20
