"""`leoflow run` as a script calls it: JSON on stdout, people's words on stderr, exit codes, nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leoflow.share import share_dir
from tests.support.lite import make_home, processes_of, until

EXAMPLES = sorted(path.parent.name for path in share_dir("examples").glob("*/dag.py"))
CHOSEN = {"asset_pipeline": "collect_readings"}
"""Which DAG of an example with several."""
BODY = """
import os, time
from airflow.sdk import Param, dag, get_current_context, task


@dag(dag_id="{dag_id}", schedule="* * * * *", catchup=False, params={{"n": Param(1, type="integer")}})
def build():
    @task
    def work():
        {work}

    work()


build()
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("run"))


def command(shared: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "leoflow", "run", *arguments, "--home", str(shared)]


def run(shared: Path, *arguments: str, code: int = 0) -> tuple[dict[str, Any], str]:
    done = subprocess.run(command(shared, *arguments), capture_output=True, text=True, timeout=240)
    assert done.returncode == code, done.stderr
    assert not list((shared / "tmp" / "once").iterdir()), "the throw-away server's data is removed"
    return (json.loads(done.stdout) if done.stdout else {}), done.stderr


def project(directory: Path, work: str, dag_id: str = "sample") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "dag.py").write_text(BODY.format(dag_id=dag_id, work=work))
    return directory


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_ends_in_success(shared: Path, tmp_path: Path, example: str) -> None:
    dag_id = CHOSEN.get(example, example)
    path = share_dir("examples") / example
    if example == "approve_a_file":  # nobody answers
        path = Path(shutil.copytree(path, tmp_path / example))
        source = (path / "dag.py").read_text()
        assert "timedelta(seconds=45)" in source
        (path / "dag.py").write_text(source.replace("timedelta(seconds=45)", "timedelta(seconds=1)"))
    result, _ = run(shared, str(path), "--dag-id", dag_id)
    assert list(result) == ["dag_id", "run_id", "state", "duration_seconds", "tasks", "xcoms"]
    assert (result["dag_id"], result["state"]) == (dag_id, "success")
    keys = ["task_id", "map_index", "state", "try_number", "start_date", "end_date", "duration"]
    assert all(list(task) == keys for task in result["tasks"])


def test_the_reducer_gets_the_trials_in_declaration_order(shared: Path) -> None:
    result, _ = run(shared, str(share_dir("examples") / "hparam_search"))
    rates = [value["lr"] for task, value in result["xcoms"].items() if task.startswith("trial")]
    assert rates == [0.001, 0.01, 0.05, 0.1, 0.5]


def test_a_failing_task_is_exit_code_1_and_its_log_is_shown_on_request(shared: Path, tmp_path: Path) -> None:
    path = project(tmp_path, 'print("before"); raise ValueError("no such luck")')
    result, stderr = run(shared, str(path), "--logs", code=1)
    assert result["state"] == "failed" and result["xcoms"] == {}
    assert "no such luck" in stderr and "before" in stderr


def test_what_a_task_says_after_its_end_is_shown_too(shared: Path, tmp_path: Path) -> None:
    path = project(tmp_path, "return 1")
    source = (path / "dag.py").read_text()
    callback = "def say(context):\n    time.sleep(1)\n    print('said', 'last')\n\n\n"
    source = source.replace("@dag(", f"{callback}@dag(").replace("@task\n", "@task(on_success_callback=say)\n")
    (path / "dag.py").write_text(source)
    _, stderr = run(shared, str(path), "--logs")
    assert "said last" in stderr


def test_conf_and_logical_date_reach_the_task(shared: Path, tmp_path: Path) -> None:
    path = project(
        tmp_path, 'c = get_current_context(); return [c["dag_run"].conf["answer"], c["logical_date"].isoformat()]'
    )
    result, _ = run(shared, str(path), "--conf", '{"answer": 42}', "--logical-date", "2024-05-06T07:08:09+02:00")
    assert result["xcoms"]["work"] == [42, "2024-05-06T05:08:09+00:00"]


def test_what_is_recorded_but_not_acted_on_is_said_once(shared: Path, tmp_path: Path) -> None:
    source = BODY.format(dag_id="remarked", work="return 1").replace("@task", "@task(executor='LocalExecutor')")
    (tmp_path / "dag.py").write_text(source)
    _, said = run(shared, str(tmp_path))
    assert said.count("warning: remarked: task work: executor= is ignored") == 1


def test_a_run_that_takes_too_long_is_exit_code_3(shared: Path, tmp_path: Path) -> None:
    path = project(tmp_path, "time.sleep(120)")
    result, stderr = run(shared, str(path), "--timeout", "3", code=3)
    assert result["state"] == "running" and "did not end within 3 s" in stderr
    assert processes_of(shared) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--conf", "[1]"], 2, "not a JSON object"),
        (["--conf", "{"], 2, "not valid JSON"),
        (["--conf", '{"n": "x"}'], 1, "Invalid input for param n: 'x' is not of type 'integer'"),
        (["--logical-date", "yesterday"], 2, "ISO 8601"),
        (["--dag-id", "unknown"], 1, "no such DAG"),
    ],
)
def test_wrong_arguments_are_explained(
    shared: Path, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    _, stderr = run(shared, str(project(tmp_path, "return 1")), *arguments, code=code)
    assert said in stderr and "hint:" in stderr


def test_several_dags_need_a_choice_and_all_are_registered(shared: Path, tmp_path: Path) -> None:
    for dag_id in ("one", "two"):
        project(tmp_path / dag_id, "return 1", dag_id)
    _, stderr = run(shared, str(tmp_path), code=2)
    assert "--dag-id with one of: one, two" in stderr
    result, _ = run(shared, str(tmp_path), "--dag-id", "two")
    assert result["dag_id"] == "two"


def test_a_broken_file_is_exit_code_1_with_its_line(shared: Path, tmp_path: Path) -> None:
    path = project(tmp_path, "return (")
    _, stderr = run(shared, str(path), code=1)
    assert "dag.py:10" in stderr and "hint:" in stderr


def test_a_given_database_is_used_and_keeps_the_run(shared: Path, tmp_path: Path, empty_database_url: str) -> None:
    result, _ = run(shared, str(project(tmp_path, "return 1")), "--database-url", empty_database_url)
    import psycopg

    with psycopg.connect(empty_database_url) as connection:
        rows = connection.execute("select dag_run_id, state::text from leoflow.dag_runs").fetchall()
    assert rows == [(result["run_id"], "success")]


def test_ctrl_c_while_it_runs_leaves_no_process_and_no_data(shared: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    path = project(tmp_path / "project", f"open({str(started)!r}, 'w').close(); time.sleep(120)")
    process = subprocess.Popen(
        command(shared, str(path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        until(started.exists, what="the task runs")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        until(lambda: not processes_of(shared), what="every process is gone")
        assert not list((shared / "tmp" / "once").iterdir())
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_what_a_killed_run_left_behind_is_swept_by_the_next(shared: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    path = project(tmp_path / "project", f"open({str(started)!r}, 'w').close(); time.sleep(120)")
    with subprocess.Popen(command(shared, str(path)), stderr=subprocess.DEVNULL, start_new_session=True) as process:
        until(started.exists, what="the task runs")
        process.kill()
    assert list((shared / "tmp" / "once").iterdir())
    run(shared, str(project(tmp_path / "next", "return 1")))
    until(lambda: not processes_of(shared), what="every process is gone")
