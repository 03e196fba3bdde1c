"""Lite under kill -9, Ctrl-C, a lost database and a full disk: nothing lost, nothing doubled, nothing left behind."""

import contextlib
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.lite import Lite, clean_up, lite, make_home, processes_of, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

CHAIN = """
import os, pathlib, time
from airflow.sdk import dag, get_current_context, task

OUT = pathlib.Path({out!r})


def note(name):
    context = get_current_context()
    line = f"{{context['dag_run'].run_id}} {{name}} {{os.getpid()}}\\n"
    descriptor = os.open(OUT, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)
    time.sleep({seconds})
    return name


@dag(dag_id="chain", schedule=None)
def build():
    @task(retries=2, retry_delay=0)
    def first():
        return note("first")

    @task(retries=2, retry_delay=0)
    def second(value):
        return note("second")

    @task(retries=2, retry_delay=0)
    def third(value):
        return note("third")

    third(second(first()))


build()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace" / "chain"
    root.mkdir(parents=True)
    (root / "dag.py").write_text(CHAIN.format(out=str(tmp_path / "ran"), seconds=0.2))
    return root.parent


@pytest.fixture
def running(workspace: Path, tmp_path: Path) -> Iterator[Lite]:
    with lite(workspace, make_home(tmp_path)) as process:
        process.wait_for_dag("chain")
        yield process


def trigger_all(running: Lite, count: int) -> list[str]:
    return [running.trigger("chain", dag_run_id=f"run_{number}") for number in range(count)]


def noted(tmp_path: Path) -> Counter[tuple[str, str]]:
    file = tmp_path / "ran"
    lines = file.read_text().splitlines() if file.exists() else []
    return Counter((line.split()[0], line.split()[1]) for line in lines)


def assert_complete(running: Lite, runs: list[str], tmp_path: Path) -> None:
    """Every run and every task of it ended in success, once in the database, at least once in the world."""
    for run_id in runs:
        assert running.wait_for_run("chain", run_id) == "success", running.output
    rows = running.sql("select dag_run_id, state::text from leoflow.dag_runs order by 1")
    assert rows == [(run_id, "success") for run_id in sorted(runs)]
    states = running.sql("select state::text, count(*) from leoflow.task_instances group by 1")
    assert states == [("success", 3 * len(runs))]
    assert set(noted(tmp_path)) == {(run_id, name) for run_id in runs for name in ("first", "second", "third")}


def zygotes(home: Path) -> list[psutil.Process]:
    found = []
    for process in processes_of(home):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "zygote" in process.cmdline():
                found.append(process)
    return found


def postmaster(home: Path) -> int:
    return int((home / "pg" / "postmaster.pid").read_text().splitlines()[0])


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_of_lite_while_runs_are_under_way_loses_and_doubles_nothing(
    workspace: Path, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    process = Lite(workspace, make_home(tmp_path))
    try:
        process.start().wait_ready()
        process.wait_for_dag("chain")
        runs = trigger_all(process, 4)
        for wanted in sorted(dice.sample(range(1, 11), 2)):
            until(lambda wanted=wanted: sum(noted(tmp_path).values()) >= wanted, what=f"{wanted} tasks began")
            process.kill()
            until(lambda: not zygotes(process.home), what="fork servers and attempts end with their Lite")
            process.start().wait_ready()
        assert_complete(process, runs, tmp_path)
    finally:
        clean_up(process)
    assert processes_of(process.home) == []


def test_kill_9_of_postgres_is_survived_without_a_restart(running: Lite, tmp_path: Path) -> None:
    runs = trigger_all(running, 3)
    until(lambda: sum(noted(tmp_path).values()) >= 2, what="tasks began")
    os.kill(postmaster(running.home), signal.SIGKILL)
    until(lambda: "starting it again" in running.output, what="Lite noticed")
    running.wait_ready()
    assert_complete(running, runs, tmp_path)


def test_kill_9_of_the_fork_server_is_survived(running: Lite, tmp_path: Path) -> None:
    runs = trigger_all(running, 3)
    until(lambda: sum(noted(tmp_path).values()) >= 2, what="tasks began")
    for process in zygotes(running.home):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    assert_complete(running, runs, tmp_path)
    project = running.path / "another"
    project.mkdir()
    (project / "dag.py").write_text(
        CHAIN.format(out=str(tmp_path / "other"), seconds=0).replace('"chain"', '"another"')
    )
    running.wait_for_dag("another")


@pytest.mark.parametrize("moment", ["", "database", "user interface", "Python environment", "is ready", "version 1"])
def test_ctrl_c_at_any_moment_of_the_start_leaves_no_process(workspace: Path, tmp_path: Path, moment: str) -> None:
    process = Lite(workspace, make_home(tmp_path))
    try:
        process.start()
        lock = process.home / "lite.lock"
        until(lambda: moment in process.output if moment else lock.exists(), what=f"{moment!r} was said")
        assert process.interrupt() == 0, process.output
        assert "Traceback" not in process.output
        until(lambda: not processes_of(process.home), what="every process is gone")
    finally:
        clean_up(process)


def test_ctrl_c_during_a_run_returns_it_to_the_queue_for_the_next_start(workspace: Path, tmp_path: Path) -> None:
    process = Lite(workspace, make_home(tmp_path))
    try:
        process.start().wait_ready()
        process.wait_for_dag("chain")
        runs = trigger_all(process, 2)
        until(lambda: sum(noted(tmp_path).values()) >= 1, what="a task began")
        assert process.interrupt() == 0
        until(lambda: not processes_of(process.home), what="every process is gone")
        process.start().wait_ready()
        assert_complete(process, runs, tmp_path)
        spent = process.sql("select max(try_number) from leoflow.task_instances")
        assert spent == [(1,)] or spent[0][0] <= 3
    finally:
        clean_up(process)


def test_a_second_ctrl_c_stops_at_once_and_leaves_no_process(workspace: Path, tmp_path: Path) -> None:
    process = Lite(workspace, make_home(tmp_path))
    try:
        process.start().wait_ready()
        assert process.process is not None
        process.process.send_signal(signal.SIGINT)
        until(lambda: "stopping" in process.output, what="the first one was heard")
        with contextlib.suppress(ProcessLookupError):
            process.process.send_signal(signal.SIGINT)
        assert process.process.wait(30) in (0, 130)
        until(lambda: not processes_of(process.home), what="every process is gone")
        process.start().wait_ready()
    finally:
        clean_up(process)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 MB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    target = tmp_path / "small"
    target.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(target)], check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield target
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)


def test_a_full_disk_is_named_and_overcome_when_space_is_freed(
    workspace: Path, tmp_path: Path, small_disk: Path
) -> None:
    with lite(workspace, make_home(small_disk), log=tmp_path / "log") as process:
        process.wait_for_dag("chain")
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 65536)
        (workspace / "chain" / "dag.py").write_text((workspace / "chain" / "dag.py").read_text() + "\n# changed\n")
        until(lambda: "space" in process.output or "disk" in process.output, what="the full disk is named")
        ballast.unlink()
        process.wait_ready()
        number = "select count(*) from leoflow.dag_versions where dag_id = 'chain'"
        until(lambda: process.sql(number) == [(2,)], what="the change is registered by itself")
        runs = trigger_all(process, 1)
        assert_complete(process, runs, tmp_path)


def test_a_start_on_a_full_disk_says_so_and_a_later_one_works(
    workspace: Path, tmp_path: Path, small_disk: Path
) -> None:
    home = make_home(small_disk)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 65536)
    process = Lite(workspace, home, log=tmp_path / "log")
    process.start()
    assert process.process is not None and process.process.wait(90) == 1
    assert "the disk is full" in process.output and "hint:" in process.output
    ballast.unlink()
    with lite(workspace, home, log=tmp_path / "log") as again:
        again.wait_for_dag("chain")
