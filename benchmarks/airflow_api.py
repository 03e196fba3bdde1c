"""A small client of Airflow's REST API: the same calls drive Leoflow and the Airflow peer."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A DAG run that ended: its own times and the value each task returned."""

    state: str
    started: datetime
    ended: datetime
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From the run's start to its end, by the server's clock."""
        return (self.ended - self.started).total_seconds()


class AirflowApi:
    """Trigger runs and read their results through `/api/v2`."""

    def __init__(self, base_url: str, username: str, password: str) -> None:
        self.url = base_url
        self._client = httpx.Client(base_url=base_url, timeout=60)
        answer = self._client.post("/auth/token", json={"username": username, "password": password})
        answer.raise_for_status()
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """GET a JSON document, raising on any error status."""
        answer = self._client.get(path, params=params)
        answer.raise_for_status()
        return dict(answer.json())

    def wait_for_dag(self, dag_id: str, seconds: float = 120) -> None:
        """Wait until the DAG is known, then unpause it."""
        deadline = time.monotonic() + seconds
        while self._client.get(f"/api/v2/dags/{dag_id}").status_code != 200:
            if time.monotonic() > deadline:
                raise TimeoutError(f"DAG {dag_id} did not appear in {seconds:.0f} s")
            time.sleep(0.2)
        self._client.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).raise_for_status()

    def trigger(self, dag_id: str) -> str:
        """Start a run now and return its id."""
        answer = self._client.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None})
        answer.raise_for_status()
        return str(answer.json()["dag_run_id"])

    def run(self, dag_id: str, *, seconds: float = 1800, poll: float = 0.5) -> FinishedRun:
        """Trigger a run, wait for its end, and collect what its tasks returned."""
        run_id = self.trigger(dag_id)
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        deadline = time.monotonic() + seconds
        while (body := self.get(path))["state"] in ("queued", "running"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"run {run_id} of {dag_id} is still {body['state']} after {seconds:.0f} s")
            time.sleep(poll)
        started, ended = (datetime.fromisoformat(body[name]) for name in ("start_date", "end_date"))
        return FinishedRun(body["state"], started, ended, self._values(path))

    def _values(self, path: str) -> dict[str, Any]:
        entries: list[dict[str, Any]] = []
        while True:
            page = self.get(f"{path}/taskInstances/~/xcomEntries", limit=100, offset=len(entries))
            entries += page["xcom_entries"]
            if not page["xcom_entries"] or len(entries) >= page["total_entries"]:
                break
        return {
            entry["task_id"]: self.get(f"{path}/taskInstances/{entry['task_id']}/xcomEntries/{entry['key']}")["value"]
            for entry in entries
        }
