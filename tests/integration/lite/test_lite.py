"""Lite end to end: one real process, real Postgres, real Task SDK, asked over HTTP as the UI asks."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.support.lite import Lite, lite, make_home, until

SHARED = """
from airflow.sdk import Label, Param, dag, task
from {module} import FACTOR


@dag(dag_id="{dag_id}", schedule=None, tags=["test"], params={{"limit": Param(3, type="integer", minimum=1)}})
def build():
    @task
    def extract():
        return [1, 2, 3]

    @task
    def load(numbers):
        return FACTOR * sum(numbers)

    @task
    def link(ti=None):
        return ti.log_url

    numbers = extract()
    load(numbers)
    numbers >> Label("afterwards") >> link()


build()
"""
EVERY_SECOND = """
import datetime

from airflow.sdk import dag, task


@dag(dag_id="ticking", schedule=datetime.timedelta(seconds=1), catchup=False)
def build():
    @task
    def tick():
        return 1

    tick()


build()
"""
NIGHTLY = """
import datetime

from airflow.sdk import dag, task


@dag(dag_id="nightly", schedule="0 3 * * *", start_date=datetime.datetime(2024, 1, 1), catchup=False)
def build():
    @task
    def work():
        return 1

    work()


build()
"""


def project(workspace: Path, dag_id: str, factor: int = 7) -> Path:
    root = workspace / dag_id
    root.mkdir(parents=True)
    (root / f"helper_{dag_id}.py").write_text(f"FACTOR = {factor}\n")
    (root / "dag.py").write_text(SHARED.format(module=f"helper_{dag_id}", dag_id=dag_id))
    return root


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lite") / "workspace"
    for dag_id in ("first", "second"):
        project(path, dag_id)
    return path


@pytest.fixture(scope="module")
def running(workspace: Path) -> Iterator[Lite]:
    with lite(workspace, make_home(workspace.parent)) as process:
        for dag_id in ("first", "second"):
            process.wait_for_dag(dag_id)
        yield process


def versions(running: Lite, dag_id: str) -> int:
    return int(running.get(f"/api/v2/dags/{dag_id}/dagVersions")["total_entries"])


def test_a_triggered_run_succeeds_and_its_value_can_be_read(running: Lite) -> None:
    run_id = running.trigger("first")
    assert running.wait_for_run("first", run_id) == "success"
    assert running.xcom("first", run_id, "load") in (42, "42")
    page = f"http://localhost:{running.port}/dags/first/runs/{quote(run_id)}/tasks/link?try_number=1"
    assert running.xcom("first", run_id, "link") == page


def test_params_labels_and_classes_of_a_dag_are_known_by_their_names(running: Lite) -> None:
    refused = running.api("POST", "/api/v2/dags/first/dagRuns", json={"logical_date": None, "conf": {"limit": 0}})
    assert (refused.status_code, refused.json()["detail"]) == (
        400,
        "Invalid input for param limit: 0 is less than the minimum of 1",
    )
    param = running.get("/api/v2/dags/first/details")["params"]["limit"]
    assert (param["value"], param["schema"]) == (3, {"type": "integer", "minimum": 1})
    edges = running.get("/ui/structure/structure_data?dag_id=first")["edges"]
    assert {(edge["source_id"], edge["target_id"]): edge["label"] for edge in edges}["extract", "link"] == "afterwards"
    assert running.get("/api/v2/dags/first/tasks/link")["class_ref"]["class_name"] == "_PythonDecoratedOperator"


def test_the_password_file_is_private_and_was_shown_once(running: Lite) -> None:
    file = running.home / "admin-password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert running.output.count(file.read_text().strip()) == 1
    assert running.url.replace("127.0.0.1", "localhost") in running.output


def test_the_page_is_served_to_the_local_browser_and_refused_to_foreign_hosts(running: Lite) -> None:
    assert "text/html" in httpx.get(f"{running.url}/", follow_redirects=True).headers["content-type"]
    assert httpx.get(f"{running.url}/api/v2/dags", headers={"Host": "evil.example"}).status_code in (400, 401, 403)


def test_a_saved_helper_module_makes_a_new_version_of_its_project_only(running: Lite, workspace: Path) -> None:
    before = versions(running, "second")
    other = versions(running, "first")
    (workspace / "second" / "helper_second.py").write_text("FACTOR = 100\n")
    until(lambda: versions(running, "second") == before + 1, what="a new version")
    run_id = running.trigger("second")
    assert running.wait_for_run("second", run_id) == "success"
    assert running.xcom("second", run_id, "load") in (600, "600")
    assert versions(running, "first") == other


def test_a_touched_file_without_changes_makes_no_version(running: Lite, workspace: Path) -> None:
    before = versions(running, "first")
    os.utime(workspace / "first" / "dag.py")
    (workspace / "first" / "helper_first.py").write_text("FACTOR = 8\n")
    until(lambda: versions(running, "first") == before + 1, what="the change after it was seen")


def test_a_broken_file_is_an_import_error_and_its_last_version_runs_on(running: Lite, workspace: Path) -> None:
    file = workspace / "first" / "dag.py"
    good = file.read_text()
    file.write_text(good + "\nthis is surely not python\n")
    errors = until(running.import_errors, what="an import error")
    assert any(name.endswith("first/dag.py") for name in errors) and "invalid syntax" in str(errors)
    assert running.get("/api/v2/dags/first")["is_stale"] is False
    refused = running.api("POST", "/api/v2/dags/first/dagRuns", json={"logical_date": None})
    assert refused.status_code == 400 and "import errors" in refused.text, "as Airflow does"
    run_id = running.sql("select leoflow.trigger_dag('first')")[0][0]
    assert running.wait_for_run("first", run_id) == "success"
    file.write_text(good)
    until(lambda: not running.import_errors(), what="the import error goes away")


def test_an_unreadable_yaml_is_an_error_and_no_deletion(running: Lite, workspace: Path) -> None:
    root = project(workspace, "configured")
    running.wait_for_dag("configured")
    (root / "leoflow.yaml").write_text("schema_version: [broken\n")
    errors = until(running.import_errors, what="an import error")
    assert any(name.endswith("leoflow.yaml") for name in errors)
    assert running.get("/api/v2/dags/configured")["is_stale"] is False
    (root / "leoflow.yaml").unlink()
    until(lambda: not running.import_errors(), what="the import error goes away")


def test_a_project_appears_and_is_deactivated_with_its_history_kept(running: Lite, workspace: Path) -> None:
    root = project(workspace, "passing")
    running.wait_for_dag("passing")
    run_id = running.trigger("passing")
    assert running.wait_for_run("passing", run_id) == "success"
    shutil.rmtree(root)
    gone = "select is_stale from leoflow_core.dag where dag_id = 'passing'"
    until(lambda: running.sql(gone) == [(True,)], what="deactivation")
    assert running.sql("select count(*) from leoflow.dag_runs where dag_id = 'passing'") == [(1,)]
    project(workspace, "passing")
    until(lambda: running.sql(gone) == [(False,)], what="it comes back")
    assert running.run_state("passing", run_id) == "success"


def test_a_file_that_cannot_be_forked_is_a_warning_of_its_dag(running: Lite, workspace: Path) -> None:
    file = project(workspace, "threaded") / "dag.py"
    good = file.read_text()
    file.write_text(f"import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n{good}")

    def warnings() -> str:
        return str(running.get("/api/v2/dagWarnings?dag_id=threaded")["dag_warnings"])

    until(lambda: "importing the DAG file started threads" in warnings(), what="a warning")
    file.write_text(good)
    until(lambda: warnings() == "[]", what="the warning goes away")


def test_two_projects_with_one_dag_id_is_an_error_of_the_second(running: Lite, workspace: Path) -> None:
    copy = workspace / "zz_copy"
    shutil.copytree(workspace / "first", copy)
    errors = until(running.import_errors, what="an import error")
    assert [name for name in errors if "zz_copy" in name]
    shutil.rmtree(copy)
    until(lambda: not running.import_errors(), what="the import error goes away")


def test_schedules_fire(running: Lite, workspace: Path) -> None:
    for name, text in (("ticking", EVERY_SECOND), ("nightly", NIGHTLY)):
        (workspace / name).mkdir()
        (workspace / name / "dag.py").write_text(text)

    def scheduled(dag_id: str) -> list[str]:
        runs = running.get(f"/api/v2/dags/{dag_id}/dagRuns?run_type=scheduled&order_by=run_after")["dag_runs"]
        return [run["dag_run_id"] for run in runs if run["state"] == "success"]

    running.wait_for_dag("ticking")
    running.wait_for_dag("nightly")
    until(lambda: len(scheduled("ticking")) >= 3, what="three scheduled runs")
    until(lambda: scheduled("nightly"), what="the last night's run")
    assert len(scheduled("nightly")) == 1
    running.api("PATCH", "/api/v2/dags/ticking", json={"is_paused": True})


def test_a_second_lite_on_the_home_or_the_port_is_refused_by_name(
    running: Lite, workspace: Path, tmp_path: Path
) -> None:
    same_home = Lite(workspace, running.home)
    assert same_home.start().process is not None and same_home.process.wait(60) == 1
    assert f"process {running.pid}" in running.output and "--home" in running.output
    same_port = Lite(workspace, make_home(tmp_path), port=running.port)
    assert same_port.start().process is not None and same_port.process.wait(60) == 1
    assert "the port is in use" in same_port.output and f"--port {running.port + 1}" in same_port.output


def test_health_knows_every_part(running: Lite) -> None:
    health = running.get("/api/v2/monitor/health")
    assert health["metadatabase"]["status"] == "healthy"
    assert health["scheduler"]["status"] == "healthy"
    assert health["dag_processor"]["status"] == "healthy"
