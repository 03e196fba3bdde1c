"""A real Lite process, and the way a client talks to it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import psycopg

from leoflow.db.embedded import EmbeddedPostgres
from tests.support.environments import default_python, shared_home, ui_files

T = TypeVar("T")

PATIENCE = 90.0
LOOK = 0.05


def make_home(directory: Path) -> Path:
    """A LEOFLOW_HOME whose slow parts (environment, UI files, initdb's result) are shared with other tests."""
    default_python()
    ui_files()
    home = directory / "home"
    home.mkdir(mode=0o700)
    for name in ("envs", "airflow-ui", "pg-cache"):
        (shared_home() / name).mkdir(exist_ok=True)
        (home / name).symlink_to(shared_home() / name)
    return home


def until(condition: Callable[[], T | None], *, seconds: float = PATIENCE, what: str = "") -> T:
    """The first true answer of `condition`; AssertionError when it does not come in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not true after {seconds} s: {what or condition}")
        time.sleep(LOOK)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Lite:
    """`leoflow lite` on a path."""

    path: Path
    home: Path
    port: int = field(default_factory=free_port)
    environ: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """Everything it has said so far, in all its lives."""
        with contextlib.suppress(FileNotFoundError):
            return self._log.read_text(errors="replace")
        return ""

    @property
    def _log(self) -> Path:
        return self.log or self.home.with_name(f"{self.home.name}.log")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> "Lite":
        """Start the process without waiting for anything."""
        command = [sys.executable, "-m", "leoflow", "lite", str(self.path), "--port", str(self.port)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--home", str(self.home), *self.arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environ},
                start_new_session=True,
            )
        return self

    def wait_ready(self) -> "Lite":
        """Wait until it answers."""
        until(lambda: self._answers() or self._ended(), what="Lite is ready")
        assert self.process is not None and self.process.poll() is None, self.output
        return self

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        return False

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def interrupt(self) -> int:
        """One Ctrl-C; returns the exit code."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=PATIENCE)

    def kill(self) -> None:
        """kill -9 of the process alone, as the kernel or an impatient person does it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=PATIENCE)

    def api(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One call as the local browser makes it."""
        token = httpx.post(
            f"{self.url}/auth/token",
            json={"username": "admin", "password": (self.home / "admin-password").read_text().strip()},
            timeout=30,
        ).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=30, **arguments)

    def get(self, path: str) -> Any:
        """The body of a GET that must succeed."""
        response = self.api("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    def wait_for_dag(self, dag_id: str) -> dict[str, Any]:
        """The DAG, once it is registered."""

        def look() -> dict[str, Any] | None:
            response = self.api("GET", f"/api/v2/dags/{dag_id}")
            return response.json() if response.status_code == 200 else None

        return until(look, what=f"{dag_id} is registered; Lite said:\n{self.output}")

    def trigger(self, dag_id: str, **body: Any) -> str:
        """Trigger a run and return its id."""
        response = self.api("POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, **body})
        assert response.status_code == 200, response.text
        return str(response.json()["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The state of a run."""
        return str(self.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str) -> str:
        """The final state of a run."""

        def look() -> str | None:
            state = self.run_state(dag_id, run_id)
            return state if state in ("success", "failed") else None

        return until(look, what=f"{run_id} ends; Lite said:\n{self.output}")

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """The return value of a task."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.get(f"{path}?deserialize=false")["value"]

    def import_errors(self) -> dict[str, str]:
        """Import errors by file name."""
        return {each["filename"]: each["stack_trace"] for each in self.get("/api/v2/importErrors")["import_errors"]}

    def sql(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Rows of a query on the embedded database."""
        with psycopg.connect(EmbeddedPostgres(self.home).dsn, autocommit=True) as connection:
            return connection.execute(query, arguments).fetchall()


@contextlib.contextmanager
def lite(path: Path, home: Path, **options: Any) -> Iterator[Lite]:
    """A ready Lite; whatever happens, nothing of it is left afterwards."""
    running = Lite(path, home, **options)
    try:
        yield running.start().wait_ready()
    finally:
        clean_up(running)


def clean_up(running: Lite) -> None:
    """End a Lite and everything that belongs to its home."""
    if running.process is not None and running.process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.interrupt()
    for process in processes_of(running.home):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def processes_of(home: Path) -> list[psutil.Process]:
    """Every living process that belongs to a home: Lite, its fork servers, attempts, and Postgres."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.status() != psutil.STATUS_ZOMBIE and _belongs(process, home):
                found.append(process)
    return found


def _belongs(process: psutil.Process, home: Path) -> bool:
    """Through its command line, its environment or the files it keeps open (all survive renaming and forking)."""
    text = str(home)
    if process.pid == os.getpid():
        return False
    if any(text in part for part in process.cmdline()):
        return True
    with contextlib.suppress(psutil.AccessDenied):
        if any(text in value for value in process.environ().values()):
            return True
    with contextlib.suppress(psutil.AccessDenied, FileNotFoundError):
        return process.cwd().startswith(text) or any(each.path.startswith(text) for each in process.open_files())
    return False
