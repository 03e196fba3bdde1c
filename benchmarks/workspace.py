"""Workspaces of many small projects, for the benchmarks of Lite itself."""

from pathlib import Path

BODY = """from datetime import datetime

from airflow.sdk import DAG, task

from {helper} import VALUE

with DAG("{dag_id}", schedule={schedule!r}, start_date=datetime({year}, 1, 1), catchup=False):

    @task
    def work():
        return VALUE

    work()
"""


def write_projects(directory: Path, count: int, *, schedule: str | None, year: int = 2024) -> list[Path]:
    """`count` projects, each with a DAG file and a helper module, starting in `year`; returns their directories."""
    roots = []
    for number in range(count):
        root = directory / f"project_{number:03d}"
        root.mkdir(parents=True)
        (root / f"helper_{number:03d}.py").write_text("VALUE = 1\n")
        (root / "dag.py").write_text(
            BODY.format(helper=f"helper_{number:03d}", dag_id=f"dag_{number:03d}", schedule=schedule, year=year)
        )
        roots.append(root)
    return roots
