"""B3, the developer loop: empty home to first page, and a save among 50 projects to a registered version and a run."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg

from benchmarks.harness import Options, Report
from benchmarks.lite import lite
from benchmarks.workspace import write_projects
from leoflow.db.embedded import EmbeddedPostgres

TITLE = "B3 developer loop: first page on an empty home; save among 50 projects -> registered -> run started"
TARGET = "first page <= 10 s after installation; save -> registered <= 1 s"
PROJECTS = 50
LOOK = 0.005


def installed_home(home: Path, installed: Path) -> Path:
    """An empty home on a machine where Leoflow is installed: environments and UI files are there, no data."""
    home.mkdir(parents=True)
    for name in ("envs", "airflow-ui"):
        (home / name).symlink_to(installed / name)
    return home


def wait_until(condition: Callable[[], object], seconds: float = 300) -> float:
    """Look until `condition` is true and return the time when it was."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(str(condition))
        time.sleep(LOOK)
    return time.monotonic()


def first_page(workspace: Path, home: Path) -> float:
    """Seconds from the command to the UI's page."""
    started = time.monotonic()
    with lite(workspace, home, slots=4) as api, httpx.Client(base_url=api.url, timeout=10) as client:

        def page() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return client.get("/", follow_redirects=True).status_code == 200
            return False

        return wait_until(page) - started


def saves(workspace: Path, home: Path, repeat: int) -> tuple[list[float], list[float]]:
    """Seconds from saving a helper module to its new version, and from there to the started task of a new run."""
    roots = write_projects(workspace, PROJECTS, schedule=None)
    registered, run_started = [], []
    with lite(workspace, home, slots=4), psycopg.connect(EmbeddedPostgres(home).dsn, autocommit=True) as connection:

        def versions(dag_id: str = "%") -> int:
            row = connection.execute(
                "select count(*) from leoflow.dag_versions where dag_id like %s", (dag_id,)
            ).fetchone()
            return int(row[0]) if row else 0

        wait_until(lambda: versions() >= PROJECTS)
        for number in range(repeat + 1):
            position = (7 * number) % PROJECTS
            dag_id = f"dag_{position:03d}"
            before, saved = versions(dag_id), time.monotonic()
            (roots[position] / f"helper_{position:03d}.py").write_text(f"VALUE = {number + 2}\n")
            done = wait_until(lambda dag_id=dag_id, before=before: versions(dag_id) > before)
            connection.execute("select leoflow.trigger_dag(%s)", (dag_id,))
            began = wait_until(lambda dag_id=dag_id: _task_started(connection, dag_id))
            if number:  # the first one warms up
                registered.append(done - saved)
                run_started.append(began - done)
    return registered, run_started


def _task_started(connection: psycopg.Connection, dag_id: str) -> bool:
    row = connection.execute(
        "select count(*) from leoflow.task_instances where dag_id = %s and start_date is not null", (dag_id,)
    ).fetchone()
    return bool(row and row[0])


def run(options: Options) -> Report:
    """Measure Leoflow; Airflow has nothing comparable (its processor looks for changed files every 30 s or more)."""
    report = Report(TITLE, "start-up: imports of the control plane and migrations; a save: the fork that loads dag.py")
    installed = options.scratch / "installed"
    with lite(write_projects(options.scratch / "one", 1, schedule=None)[0].parent, installed, slots=4):
        pass
    samples = []
    for number in range(options.repeat):
        home = installed_home(options.scratch / f"first-{number}", installed)
        samples.append(first_page(options.scratch / "one", home))
    report.add("empty home -> first page", "s", samples, "<= 10")
    home = installed_home(options.scratch / "many-home", installed)
    registered, run_started = saves(options.scratch / "many", home, max(options.repeat, 5))
    report.add("save -> registered", "s", registered, "<= 1")
    report.add("trigger -> task started (new version, cold project zygote)", "s", run_started)
    return report
