"""`leoflow init`, `validate` and `compile` as a user types them."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leoflow.cli.main import main
from leoflow.environments import Environment
from leoflow.spec import DagSpec, canonical_bytes, read_leoflow_yaml

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path, sdk_python: Path, tmp_path: Path
) -> Run:
    """Run one command line in tmp_path; return exit code, stdout, stderr. Environments are the prepared one."""

    async def prepared(spec: Any, *_: Any) -> Environment:
        return Environment(spec.key, sdk_python)

    monkeypatch.setattr("leoflow.cli.project.ensure", prepared)
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


def test_init_writes_a_project_that_compiles(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("init", "my project")
    assert code == 0
    assert "my project/dag.py" in out
    assert read_leoflow_yaml(tmp_path / "my project" / "leoflow.yaml").dag_id == "my_project"
    code, out, _ = run("compile", "my project", "--output", "json")
    assert code == 0
    [dag] = json.loads(out)["dags"]
    assert (dag["dag_id"], dag["tasks"]) == ("my_project", 3)
    written = (tmp_path / "my project" / "dag.json").read_bytes()
    assert canonical_bytes(DagSpec.model_validate_json(written)) == written
    assert dag["content_hash"] in written.decode()


def test_compiling_twice_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    run("init", "p")
    run("compile", "p")
    first = (tmp_path / "p" / "dag.json").read_bytes()
    run("compile", "p")
    assert (tmp_path / "p" / "dag.json").read_bytes() == first


def test_init_never_overwrites_unless_forced(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "dag.py").write_text("precious\n")
    code, _, err = run("init", "p")
    assert code == 1
    assert err.startswith("error: refusing to overwrite: p/dag.py\nhint: ")
    assert (tmp_path / "p" / "dag.py").read_text() == "precious\n"
    assert not (tmp_path / "p" / "leoflow.yaml").exists()
    assert run("init", "p", "--force")[0] == 0
    assert "airflow.sdk" in (tmp_path / "p" / "dag.py").read_text()


def test_validate_names_every_mistake_of_a_workspace(run: Run, tmp_path: Path) -> None:
    for name, text in {"good": "", "bad": "1 / 0\n", "worse": "def f(:\n"}.items():
        (tmp_path / "w" / name).mkdir(parents=True)
        (tmp_path / "w" / name / "dag.py").write_text(f"from airflow.sdk import DAG\nd = DAG('{name}')\n{text}")
    code, out, err = run("validate", "w", "--output", "json")
    document = json.loads(out)
    assert code == 1
    assert document["valid"] is False
    assert [dag["dag_id"] for dag in document["dags"]] == ["good"]
    places = [(error["file"], error["line"], error["rule"]) for error in document["errors"]]
    assert places == [("w/bad/dag.py", 3, "exception"), ("w/worse/dag.py", 3, "syntax")]
    assert err.count("\nerror: ") == err.count("\nhint: ") == 2
    assert "w/bad/dag.py:3" in err


def test_nothing_is_written_when_something_is_wrong(run: Run, tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_text("from airflow.sdk import DAG\nd = DAG('x')\nd = DAG('x')\nraise ValueError\n")
    assert run("compile", ".", "-o", "out")[0] == 1
    assert not (tmp_path / "out").exists()


def test_one_dag_is_dag_json_several_are_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "two.py").write_text("from airflow.sdk import DAG\na, b = DAG('a'), DAG('b')\n")
    code, out, _ = run("compile", "dags", "-o", "out")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.dag.json", "b.dag.json"]
    assert out.splitlines()[0].split("\t")[0] == "dag_id"


def test_the_same_dag_id_in_two_projects_is_refused_with_both_paths(run: Run, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "w" / name).mkdir(parents=True)
        (tmp_path / "w" / name / "dag.py").write_text("from airflow.sdk import DAG\nd = DAG('same')\n")
    code, _, err = run("validate", "w")
    assert code == 1
    assert "w/one/dag.py" in err
    assert "w/two/dag.py:2" in err


def test_image_and_version_are_recorded(run: Run, tmp_path: Path) -> None:
    run("init", "p")
    code, out, _ = run("compile", "p", "--image", "reg/x:1", "--dag-version", "v1", "--output", "json")
    assert code == 0
    assert json.loads(out)["dags"][0]["image"] == "reg/x:1"
    spec = DagSpec.model_validate_json((tmp_path / "p" / "dag.json").read_bytes())
    assert (spec.image, spec.dag_version) == ("reg/x:1", "v1")


def test_building_without_a_builder_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("init", "p")
    monkeypatch.setenv("PATH", "/nonexistent")
    code, _, err = run("compile", "p", "--build", "--image", "x")
    assert code == 1
    assert "neither docker nor podman is installed" in err
    assert "hint: " in err
    assert "podman is installed" in run("compile", "p", "--build", "--image", "x", "--builder", "podman")[2]


@pytest.fixture
def fake_builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `podman` on the PATH that records how it was called and what was in its build context."""
    log = tmp_path / "calls"
    script = tmp_path / "bin" / "podman"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {log}\n'
        f'for last; do :; done\n[ "$1" = build ] && find "$last" -type f >> {log} && cat "$last/Dockerfile" >> {log}\n'
        "exit 0\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return log


def test_build_and_push_hand_a_complete_context_to_the_builder(run: Run, tmp_path: Path, fake_builder: Path) -> None:
    run("init", "p")
    yaml = tmp_path / "p" / "leoflow.yaml"
    yaml.write_text(
        'python_version: "3.12"\nsystem_packages: [jq]\nconnectors: [http]\n'
        "registry: {url: reg.example/team, image_name: etl}\nbuild: {platforms: [linux/arm64], labels: {team: x}}\n"
    )
    code, _, err = run("compile", "p", "--push", "--builder", "podman", "--dag-version", "v7")
    assert code == 0, err
    calls = fake_builder.read_text()
    assert "build --platform=linux/arm64 --tag=reg.example/team/etl:v7 --label=team=x" in calls
    assert "push reg.example/team/etl:v7" in calls
    for part in ("project/dag.py", "runtime/bootstrap.py", "requirements.txt", "FROM python:3.12-slim", " jq "):
        assert part in calls
    assert "USER 1000:1000" in calls
    spec = DagSpec.model_validate_json((tmp_path / "p" / "dag.json").read_bytes())
    assert spec.image == "reg.example/team/etl:v7"
    assert spec.dependencies == ["apache-airflow-providers-http"]


def test_building_without_a_name_for_the_image_is_refused(run: Run, fake_builder: Path) -> None:
    run("init", "p")
    code, _, err = run("compile", "p", "--build", "--builder", "podman")
    assert code == 1
    assert "--image" in err


def test_one_image_for_several_projects_is_a_usage_error(run: Run, fake_builder: Path) -> None:
    run("init", "w/a")
    run("init", "w/b")
    assert run("compile", "w", "--build", "--builder", "podman", "--image", "x")[0] == 2


def test_a_path_that_is_not_there_is_an_error_with_a_remedy(run: Run) -> None:
    code, _, err = run("validate", "nowhere")
    assert code == 1
    assert "nowhere" in err
    assert "leoflow init" in err
