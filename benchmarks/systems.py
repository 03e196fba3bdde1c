"""The systems under comparison, started on the same benchmark DAG with the same parallelism."""

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.airflow_api import AirflowApi
from benchmarks.harness import Options
from benchmarks.lite import lite
from benchmarks.peers.airflow import airflow
from leoflow.db.embedded import EmbeddedPostgres

DAGS = Path(__file__).parent / "dags"
PARALLELISM = 2 * (os.cpu_count() or 1)


def dag_folder(name: str, directory: Path, tasks: int) -> Path:
    """Copy `dags/<name>/dag.py` with its number of tasks set, and return the folder."""
    folder = directory / f"{name}-{tasks}"
    folder.mkdir(parents=True, exist_ok=True)
    source, replaced = re.subn(r"(?m)^TASKS = \d+$", f"TASKS = {tasks}", (DAGS / name / "dag.py").read_text())
    if replaced != 1:
        raise ValueError(f"dags/{name}/dag.py has {replaced} lines `TASKS = …`, expected one")
    (folder / "dag.py").write_text(source)
    return folder


@contextlib.contextmanager
def measured_lite(name: str, options: Options, *, tasks: int, reuse: int = 1) -> Iterator[AirflowApi]:
    """Leoflow Lite on `dags/<name>` with `tasks` tasks, in a fresh home; `reuse` is the attempts per process."""
    folder = dag_folder(name, options.scratch / f"leoflow-dags-{reuse}", tasks)
    if reuse > 1:
        (folder / "leoflow.yaml").write_text(f"defaults: {{attempts_per_process: {reuse}}}\n")
    with lite(folder, options.scratch / f"home-{name}-{reuse}", slots=PARALLELISM) as api:
        yield api


@contextlib.contextmanager
def measured_peer(name: str, options: Options, *, tasks: int) -> Iterator[AirflowApi]:
    """Airflow on the same DAG file, with a Postgres from the same binaries."""
    folder = dag_folder(name, options.scratch / "airflow-dags" / name, tasks).parent
    server = EmbeddedPostgres(options.scratch / "peer-postgres")
    database_url = asyncio.run(server.start())
    try:
        with airflow(folder, options.scratch, database_url, parallelism=PARALLELISM) as api:
            yield api
    finally:
        asyncio.run(server.stop())
