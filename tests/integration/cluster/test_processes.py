"""The processes of a cluster, each on its own, on one database."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.support.lite import free_port, make_home, until


@contextlib.contextmanager
def process(home: Path, database_url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`leoflow …` until the block ends; Ctrl-C must end it with 0."""
    environ = {**os.environ, "LEOFLOW_DATABASE_URL": database_url, "LEOFLOW_HOME": str(home)}
    log = home.parent / f"{arguments[0]}.log"
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "leoflow", *arguments], env=environ, stdout=output, stderr=output, text=True
        )
        try:
            yield started
            assert started.poll() is None, log.read_text()
            started.send_signal(signal.SIGINT)
            assert started.wait(60) == 0, log.read_text()
            assert "Traceback" not in log.read_text()
        finally:
            if started.poll() is None:
                started.kill()
                started.wait()


def alive(database_url: str, component: str) -> bool:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select status from leoflow.health where component = %s", (component,)).fetchall()
    return rows == [("healthy",)]


def test_the_scheduler_reports_its_health_and_ends_on_ctrl_c(tmp_path: Path, database_url: str) -> None:
    with process(make_home(tmp_path), database_url, "scheduler"):
        until(lambda: alive(database_url, "scheduler"), what="a heartbeat")


def test_the_server_answers_and_ends_on_ctrl_c(tmp_path: Path, database_url: str) -> None:
    port = free_port()

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
        return False

    with process(make_home(tmp_path), database_url, "server", "--port", str(port)):
        until(answers, what="it is ready")


@pytest.mark.parametrize("name", ["scheduler", "server"])
def test_without_a_database_it_says_how_to_name_one(tmp_path: Path, name: str) -> None:
    environ = {key: value for key, value in os.environ.items() if key != "LEOFLOW_DATABASE_URL"}
    environ["LEOFLOW_HOME"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-m", "leoflow", name], env=environ, capture_output=True, text=True)
    assert done.returncode == 2 and "LEOFLOW_DATABASE_URL" in done.stderr


def test_an_old_schema_is_refused_with_the_command_that_updates_it(tmp_path: Path, empty_database_url: str) -> None:
    environ = {**os.environ, "LEOFLOW_HOME": str(tmp_path), "LEOFLOW_DATABASE_URL": empty_database_url}
    done = subprocess.run([sys.executable, "-m", "leoflow", "scheduler"], env=environ, capture_output=True, text=True)
    assert done.returncode == 1 and "leoflow db migrate" in done.stderr
