"""Projects with contradicting dependencies and Python versions run side by side; a broken one disturbs none."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leoflow.environments import EnvironmentSpec
from tests.support.environments import find_python
from tests.support.lite import make_home

SUPPORTED = ("3.13", "3.12", "3.10", "3.11")
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
NEXT = "TriggerDagRunOperator(task_id='{other}', trigger_dag_id='{other}', wait_for_completion=True, poke_interval=0.2)"


def project(workspace: Path, dag_id: str, yaml: str, seen: Path, *others: str) -> None:
    """A project whose DAG writes down what it runs in, and then runs the DAGs of others."""
    root = workspace / dag_id
    root.mkdir(parents=True)
    (root / "leoflow.yaml").write_text(f'schema_version: "1.0"\n{yaml}\n')
    after = "".join(f"    look() >> {NEXT.format(other=other)}\n" for other in others)
    (root / "dag.py").write_text(f"""
import importlib.metadata, json, pathlib, sys
from airflow.sdk import DAG, task
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
with DAG({dag_id!r}):
    @task
    def look():
        found = [importlib.metadata.version("iniconfig"), "%d.%d" % sys.version_info[:2], sys.prefix]
        pathlib.Path({str(seen / dag_id)!r}).write_text(json.dumps(found))
{after or "    look()"}
""")


def run(home: Path, workspace: Path, dag_id: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "leoflow", "run", str(workspace), "--dag-id", dag_id, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=800, env={**os.environ, **variables})


@pytest.mark.timeout(900)  # the first time it builds two environments
def test_conflicting_projects_run_side_by_side_and_equal_ones_share(tmp_path: Path) -> None:
    home, workspace, seen = make_home(tmp_path), tmp_path / "workspace", tmp_path / "seen"
    seen.mkdir()
    other, directory = find_python(*(version for version in SUPPORTED if version != OWN)) or (OWN, "")
    project(workspace, "left", "dependencies: ['iniconfig==2.0.0']", seen, "right", "twin")
    project(workspace, "right", f"dependencies: ['iniconfig==2.1.0']\npython_version: '{other}'", seen)
    project(workspace, "twin", "dependencies: ['iniconfig==2.0.0']", seen)
    project(workspace, "broken", "dependencies: ['leoflow-no-such-package-of-this-name']", seen)
    done = run(home, workspace, "left", PATH=f"{directory}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = {path.name: json.loads(path.read_text()) for path in seen.iterdir()}
    assert found.keys() == {"left", "right", "twin"}
    assert found["left"][:2] == ["2.0.0", OWN]
    assert found["right"][:2] == ["2.1.0", other]
    assert found["twin"] == found["left"] and found["right"][2] != found["left"][2]
    assert "leoflow-no-such-package-of-this-name was not found" in done.stderr.replace("\n", " ")
    broken = run(home, workspace, "broken")
    assert broken.returncode == 1
    assert "the dependencies cannot be installed together" in broken.stderr
    assert "hint: correct `dependencies` in leoflow.yaml" in broken.stderr.replace("\n", " ")


@pytest.mark.parametrize("same", [("a==1", "b"), ("b", "a==1")])
def test_the_order_of_dependencies_makes_no_other_environment(same: tuple[str, ...]) -> None:
    assert EnvironmentSpec(None, same).key == EnvironmentSpec(None, ("a==1", "b")).key
    assert EnvironmentSpec(None, same).key != EnvironmentSpec(None, ("a==2", "b")).key
