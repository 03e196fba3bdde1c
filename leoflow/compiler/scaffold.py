"""Writes a new project."""

import re
from pathlib import Path

from leoflow.errors import LeoflowError
from leoflow.spec.leoflow_yaml import SCHEMA_FILE
from leoflow.spec.schemas import schemas

YAML = """\
# Where and how the DAG runs; everything is optional.
# yaml-language-server: $schema=.leoflow-yaml.schema.json
schema_version: "1.0"
dag_id: {dag_id}
description: What this DAG is for
tags: []

# Packages your tasks import, as pip writes them.
dependencies: []

# For every task that says nothing itself.
defaults:
  retries: 1
  retry_delay_seconds: 30
"""

DAG = '''\
"""{dag_id}: three tasks, the first two in parallel."""

from airflow.sdk import DAG, task

with DAG("{dag_id}", schedule=None):

    @task
    def greet(name: str) -> str:
        return f"hello, {{name}}"

    @task
    def collect(greetings: list[str]) -> str:
        print("\\n".join(greetings))
        return " and ".join(greetings)

    collect([greet(name) for name in ["Ada", "Grace"]])
'''


def scaffold(path: Path, *, force: bool = False) -> list[Path]:
    """Write leoflow.yaml and dag.py into `path` and return them.

    Raises:
        LeoflowError: one of them is there already and `force` is not given.
    """
    dag_id = re.sub(r"[^\w.-]+", "_", path.absolute().name).strip("_")[:200] or "my_dag"
    files = {
        path / "leoflow.yaml": YAML.format(dag_id=dag_id),
        path / "dag.py": DAG.format(dag_id=dag_id),
        # For editors; hidden files are not part of a project.
        path / f".{SCHEMA_FILE}": schemas()[SCHEMA_FILE],
    }
    existing = [file for file in files if file.exists() and not file.name.startswith(".")]
    if existing and not force:
        raise LeoflowError(
            "refusing to overwrite", where=", ".join(str(file) for file in existing), hint="Use --force to overwrite."
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            file.write_text(text)
    except OSError as error:
        raise LeoflowError(
            f"cannot write: {error.strerror}", where=str(error.filename), hint="Choose another path."
        ) from (error)
    return list(files)
