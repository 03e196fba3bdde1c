"""Apache Airflow 3.2.2 with LocalExecutor on a Postgres of its own: API server, scheduler and DAG processor."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.sql import SQL
from uv import find_uv_bin

from benchmarks.airflow_api import AirflowApi
from benchmarks.lite import free_port, wait_until_ready

REQUIREMENTS = ("apache-airflow==3.2.2", "psycopg2-binary", "asyncpg")
RELEASED_BEFORE = "2026-06-01"
"""Airflow 3.2.2 does not start with later releases of its dependencies (pydantic 2.14)."""


def install(directory: Path) -> Path:
    """Create the peer's virtual environment once and return its `airflow` program."""
    program = directory / "bin" / "airflow"
    uv = find_uv_bin()
    if not program.exists():
        python = str(directory / "bin" / "python")
        subprocess.run([uv, "venv", "--quiet", "--clear", str(directory)], check=True)
        command = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--exclude-newer",
            RELEASED_BEFORE,
            "--python",
            python,
            *REQUIREMENTS,
        ]
        subprocess.run(command, check=True)
    return program


def recreate_database(database_url: str) -> str:
    """Create the peer's database anew and return its address for SQLAlchemy."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SQL("drop database if exists airflow_peer with (force)"))
        connection.execute(SQL("create database airflow_peer"))
        info = connection.info
        return f"postgresql+psycopg2://{info.user}@/airflow_peer?host={info.host}&port={info.port}"


def settings(home: Path, dags: Path, database: str, port: int, parallelism: int) -> dict[str, str]:
    """Airflow's configuration as environment variables: defaults but for what a fair comparison needs."""
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({"admin": "admin"}))
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(parallelism),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "benchmark-peer-secret-of-sufficient-length-for-hs512-signing-keys",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        # The shell may forbid it; without compiled bytecode Airflow's imports take more than twice as long.
        "PYTHONDONTWRITEBYTECODE": "",
    }


@contextlib.contextmanager
def airflow(dags: Path, scratch: Path, database_url: str, *, parallelism: int) -> Iterator[AirflowApi]:
    """Run Airflow on a directory of DAGs until the block ends.

    Args:
        dags: the DAG folder.
        scratch: where its virtual environment and home go.
        database_url: a Postgres in which a database `airflow_peer` is created anew.
        parallelism: LocalExecutor's number of processes.
    """
    program = install(scratch / "airflow-peer")
    home = scratch / "airflow-home"
    home.mkdir(exist_ok=True)
    port = free_port()
    env = {**os.environ, **settings(home, dags, recreate_database(database_url), port, parallelism)}
    with (home / "log").open("wb") as log:
        subprocess.run([program, "db", "migrate"], env=env, stdout=log, stderr=log, check=True)
        processes = [
            subprocess.Popen([program, *words], env=env, stdout=log, stderr=log, start_new_session=True)
            for words in (["api-server", "--port", str(port)], ["scheduler"], ["dag-processor"])
        ]
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/api/v2/version", processes[0])
            yield AirflowApi(f"http://127.0.0.1:{port}", "admin", "admin")
        finally:
            for process in processes:
                stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process group: asked first, killed after 30 seconds."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 15)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
