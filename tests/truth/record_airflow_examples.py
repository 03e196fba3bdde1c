"""Run Airflow's own example DAGs under Airflow 3.2.2 and record in which states they end.

A development tool: it starts Airflow (LocalExecutor, scheduler, triggerer, DAG processor) from an environment of its
own on an embedded Postgres, which takes about ten minutes of both cores of a small machine. The output is committed:

    python -m tests.truth.record_airflow_examples --scratch ~/truth tests/truth/airflow_examples.json

Each entry is `{dag_id: {"state": …, "tasks": {task_id: {map_index: state}}}}`.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.airflow_api import AirflowApi
from benchmarks.lite import free_port, wait_until_ready
from benchmarks.peers.airflow import install, recreate_database, settings, stop
from leoflow.db.embedded import EmbeddedPostgres
from tests.truth.airflow_examples import EXCLUDED, FIRST, FOLDERS, LOGICAL_DATE, WATCHED

PROCESSES = ("api-server", "scheduler", "triggerer", "dag-processor")


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(f"{text}\n")


def copy_examples(program: Path, dags: Path, plugins: Path) -> None:
    """Copy the examples out of the environment, their plugins to where Airflow looks for plugins."""
    code = "import importlib.util; print(importlib.util.find_spec('airflow').submodule_search_locations[0])"
    found = subprocess.run([program.parent / "python", "-c", code], check=True, capture_output=True, text=True)
    package = Path(found.stdout.strip().splitlines()[-1])
    for folder in FOLDERS:
        ignored = shutil.ignore_patterns("plugins", "standard", "__pycache__")
        shutil.copytree(package / folder, dags / folder, symlinks=False, ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(package / "example_dags" / "plugins", plugins, symlinks=False, dirs_exist_ok=True)


@contextlib.contextmanager
def airflow(
    program: Path, home: Path, database_url: str, copy_dags: Callable[[Path, Path, Path], None] = copy_examples
) -> Iterator[tuple[AirflowApi, psycopg.Connection]]:
    """Airflow on the DAGs (its examples unless told otherwise); nothing is scheduled, every run is triggered."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    dags, plugins, port = home / "dags", home / "plugins", free_port()
    copy_dags(program, dags, plugins)
    database = recreate_database(database_url)
    env = {
        **os.environ,
        **settings(home, dags, database, port, parallelism=4),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "100000",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
    }
    with (home / "log").open("wb") as log:
        subprocess.run([program, "db", "migrate"], env=env, stdout=log, stderr=log, check=True)
        words = [[name, "--port", str(port)] if name == "api-server" else [name] for name in PROCESSES]
        processes = [
            subprocess.Popen([program, *one], env=env, stdout=log, stderr=log, start_new_session=True) for one in words
        ]
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/api/v2/version", processes[0])
            api = AirflowApi(f"http://127.0.0.1:{port}", "admin", "admin")
            with psycopg.connect(database.replace("+psycopg2", ""), autocommit=True) as connection:
                yield api, connection
        finally:
            for process in processes:
                stop(process)


def wait_until_parsed(connection: psycopg.Connection, quiet_seconds: float = 40) -> list[str]:
    """The ids of all DAGs, once no new one has appeared for a while."""
    known: list[str] = []
    changed = time.monotonic()
    while not known or time.monotonic() - changed < quiet_seconds:
        rows = connection.execute("select dag_id from dag order by dag_id").fetchall()
        if (now := [row[0] for row in rows]) != known:
            known, changed = now, time.monotonic()
        time.sleep(1)
    return known


def trigger(api: AirflowApi, dag_id: str) -> str | None:
    """The id of a new run; None (with a remark) if Airflow refuses it."""
    body = {"logical_date": LOGICAL_DATE, "conf": {}}
    answer = api._client.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body)
    if answer.is_error:
        say(f"{dag_id}: not triggered: {answer.text}")
        return None
    return str(answer.json()["dag_run_id"])


def run_all(api: AirflowApi, dag_ids: Iterable[str], seconds: float) -> dict[str, Any]:
    """Trigger each DAG, wait for all runs, and read how they ended."""
    runs = {dag_id: run_id for dag_id in dag_ids if (run_id := trigger(api, dag_id))}
    ended: dict[str, Any] = {}
    deadline = time.monotonic() + seconds
    while len(ended) < len(runs) and time.monotonic() < deadline:
        for dag_id, run_id in runs.items():
            if dag_id in ended:
                continue
            with contextlib.suppress(httpx.TransportError):
                state = api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"]
                if state in ("success", "failed"):
                    ended[dag_id] = {"state": state, "tasks": task_states(api, dag_id, run_id)}
                    say(f"{dag_id}: {state}")
        time.sleep(3)
    for dag_id, run_id in runs.items():
        if dag_id not in ended:
            say(f"{dag_id}: still going: {task_states(api, dag_id, run_id)}")
    return ended


def run_watched(api: AirflowApi, connection: psycopg.Connection, dags: Path, seconds: float) -> dict[str, Any]:
    """Have each DAG's watcher running, create the file it waits for, and read how the run ended."""
    ended: dict[str, Any] = {}
    for dag_id, awaited in WATCHED.items():
        [source] = dags.rglob(f"{dag_id}.py")
        source.touch()  # it was paused when it was parsed, and only parsing starts a watcher
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            watchers = connection.execute("select 1 from asset_watcher").fetchall()
            runs = api.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]
            if watchers and not runs:
                Path(awaited).touch()
            if runs and runs[0]["state"] in ("success", "failed"):
                ended[dag_id] = {"state": runs[0]["state"], "tasks": task_states(api, dag_id, runs[0]["dag_run_id"])}
                say(f"{dag_id}: {runs[0]['state']} ({runs[0]['run_type']})")
                break
            time.sleep(3)
    return ended


def task_states(api: AirflowApi, dag_id: str, run_id: str) -> dict[str, dict[str, str | None]]:
    """State by task id and map index."""
    body = api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=1000)
    tasks: dict[str, dict[str, str | None]] = {}
    for one in sorted(body["task_instances"], key=lambda one: (one["task_id"], one["map_index"])):
        tasks.setdefault(one["task_id"], {})[str(one["map_index"])] = one["state"]
    return tasks


def record(program: Path, scratch: Path, seconds: float, *, only_watched: bool) -> dict[str, Any]:
    """Everything, or only what waits for a file, from an empty database to the states."""
    server = EmbeddedPostgres(scratch / "postgres")
    database_url = asyncio.run(server.start())
    try:
        with airflow(program, scratch / "home", database_url) as (api, connection):
            found = wait_until_parsed(connection)
            # Unpaused DAGs would also run by their schedule, which only costs time.
            connection.execute("update dag set next_dagrun_create_after = null, is_paused = false")
            if unknown := EXCLUDED.keys() - set(found):
                say(f"excluded but not there: {sorted(unknown)}")
            say(f"{len(found)} DAGs: {found}")
            watched = run_watched(api, connection, scratch / "home" / "dags", seconds)
            if only_watched:
                return watched
            wanted = [dag_id for dag_id in found if dag_id not in EXCLUDED and dag_id not in WATCHED]
            first = run_all(api, [dag_id for dag_id in wanted if dag_id in FIRST], seconds)
            return watched | first | run_all(api, [dag_id for dag_id in wanted if dag_id not in FIRST], seconds)
    finally:
        asyncio.run(server.stop())


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--scratch", type=Path, required=True, help="where the environment and the home go")
    parser.add_argument("--airflow", type=Path, help="the `airflow` program of an environment that exists already")
    parser.add_argument("--seconds", type=float, default=900, help="how long to wait for the runs")
    parser.add_argument("--only-watched", action="store_true", help="renew only the DAGs that wait for a file")
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    program = arguments.airflow or install(arguments.scratch / "airflow-peer")
    ended = json.loads(arguments.output.read_text()) if arguments.only_watched else {}
    ended |= record(program, arguments.scratch.resolve(), arguments.seconds, only_watched=arguments.only_watched)
    arguments.output.write_text(json.dumps(dict(sorted(ended.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
