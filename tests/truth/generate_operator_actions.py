"""Ask Airflow 3.2.2's own API what clearing, marking and setting states do, and write down what became of every run.

Run in an environment of its own with `apache-airflow==3.2.2`, in an empty AIRFLOW_HOME; the output is committed:

    AIRFLOW_HOME=$(mktemp -d) python tests/truth/generate_operator_actions.py tests/truth/operator_actions.json

The DAG is `extract >> transform >> load`, `extract >> audit`, daily, two retries. Before every request its five runs
are in the states of RUNS, which come first in the output. A row is the request, the status, the instances of the
answer, and what differs afterwards: of a run `[state, clear_number]`, of an instance `[state, max_tries]`.
"""

import itertools
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HOME = Path(os.environ["AIRFLOW_HOME"])
os.environ |= {
    "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
}
DAG = """
from datetime import datetime
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
with DAG("truth", schedule="0 0 * * *", start_date=datetime(2026, 1, 1), default_args={"retries": 2}):
    extract, transform, load, audit = (EmptyOperator(task_id=t) for t in ("extract", "transform", "load", "audit"))
    extract >> transform >> load
    extract >> audit
"""
TASKS = ("audit", "extract", "load", "transform")
# run id: run type, logical date, state, then the states of audit, extract, load, transform
RUNS: dict[str, tuple[str, str | None, str, tuple[str | None, ...]]] = {
    "one": ("scheduled", "2026-01-01T00:00:00+00:00", "failed", ("success", "success", "upstream_failed", "failed")),
    "two": ("scheduled", "2026-01-02T00:00:00+00:00", "failed", ("skipped", "success", "failed", "success")),
    "hand": (
        "manual",
        "2026-01-02T12:00:00+00:00",
        "failed",
        ("success", "failed", "upstream_failed", "upstream_failed"),
    ),
    "three": ("scheduled", "2026-01-03T00:00:00+00:00", "running", ("failed", "success", None, "running")),
    "free": ("manual", None, "success", ("success", "success", "success", "success")),
}
RAN = ("success", "failed", "running", "skipped")


def requests() -> list[tuple[str, str, dict[str, Any]]]:
    """Every request: method, path below the DAG, body."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    scopes: list[dict[str, bool]] = [
        {},
        {"include_upstream": True},
        {"include_downstream": True},
        {"include_upstream": True, "include_downstream": True},
        {"include_past": True},
        {"include_future": True},
        {"include_past": True, "include_future": True},
        {"include_downstream": True, "include_future": True},
    ]
    choices: list[dict[str, bool]] = [{}, {"only_failed": True}, {"only_running": True}, {"reset_dag_runs": False}]
    clear = {"dry_run": False, "only_failed": False}
    for run, tasks, scope in itertools.product(("two", "three"), (["transform"], ["extract"], None), scopes):
        for choice in choices if scope in ({}, scopes[2], scopes[6]) else choices[:1]:
            body = {**clear, **scope, **choice, "dag_run_id": run}
            found.append(("POST", "clearTaskInstances", body if tasks is None else {**body, "task_ids": tasks}))
    for run, scope in itertools.product(("free",), scopes[:3]):
        found.append(("POST", "clearTaskInstances", {**clear, **scope, "dag_run_id": run, "task_ids": ["transform"]}))
    spans: list[dict[str, str]] = [
        {},
        {"start_date": RUNS["two"][1] or ""},
        {"end_date": RUNS["two"][1] or ""},
        {"start_date": RUNS["two"][1] or "", "end_date": RUNS["hand"][1] or ""},
    ]
    for span, scope, choice in itertools.product(spans, scopes[:3], choices[:2]):
        found.append(("POST", "clearTaskInstances", {**clear, **span, **scope, **choice, "task_ids": ["transform"]}))
    found.append(("POST", "clearTaskInstances", {**clear, "dag_run_id": "two", "task_ids": [["load", -1]]}))
    prevented = {**clear, "dag_run_id": "three", "prevent_running_task": True}
    found += [("POST", "clearTaskInstances", {**prevented, "task_ids": [task]}) for task in ("transform", "audit")]
    for run, task, state, scope in itertools.product(
        ("one", "two", "three"), ("extract", "transform", "load"), ("success", "failed", "skipped"), scopes[:7]
    ):
        body = {"new_state": state, **scope}
        found.append(("PATCH", f"dagRuns/{run}/taskInstances/{task}", body))
    found += [
        ("PATCH", f"dagRuns/{run}", {"state": state}) for run in RUNS for state in ("success", "failed", "queued")
    ]
    for run, only_failed in itertools.product(RUNS, (False, True)):
        found.append(("POST", f"dagRuns/{run}/clear", {"dry_run": False, "only_failed": only_failed}))
    found += [("DELETE", f"dagRuns/{run}", {}) for run in ("one", "three")]
    return found


def main() -> None:
    """Write all rows, one per line."""
    (HOME / "dags").mkdir(exist_ok=True)
    (HOME / "dags" / "truth.py").write_text(DAG)
    airflow = [sys.executable, "-m", "airflow"]
    subprocess.run([*airflow, "db", "migrate"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*airflow, "dags", "reserialize"], check=True, stdout=subprocess.DEVNULL)

    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app()) as client:
        client.headers["Authorization"] = f"Bearer {client.get('/auth/token').json()['access_token']}"
        rows = []
        for method, path, body in requests():
            reset()
            before = snapshot()
            answer = client.request(method, f"/api/v2/dags/truth/{path}", **({"json": body} if body else {}))
            after = snapshot()
            found = answer.json() if answer.content else {}
            listed = found.get("task_instances", []) if isinstance(found, dict) else []
            rows.append(
                {
                    "request": [method, path, body],
                    "status": answer.status_code,
                    "listed": sorted([one["dag_run_id"], one["task_id"]] for one in listed),
                    "changed": {key: after.get(key) for key in before if before[key] != after.get(key)},
                }
            )
    head = f'"tasks": {json.dumps(TASKS)},\n"runs": {json.dumps(RUNS)},\n"rows": [\n'
    Path(sys.argv[1]).write_text("{" + head + ",\n".join(json.dumps(row) for row in rows) + "\n]}\n")


def reset() -> None:
    """Put the five runs into their states, whatever an earlier request did."""
    from airflow.models import DagRun, TaskInstance
    from airflow.models.dag_version import DagVersion
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        for model in (TaskInstanceHistory, TaskInstance, DagRun):
            session.execute(delete(model))
        version = DagVersion.get_latest_version("truth", session=session)
        session.flush()
        dag = _dag(session)
        for run_id, (run_type, date, state, states) in RUNS.items():
            moment = datetime.fromisoformat(date) if date else None
            run = dag.create_dagrun(
                run_id=run_id,
                logical_date=moment,
                data_interval=(moment, moment) if moment else None,
                run_after=moment or datetime(2026, 1, 5, tzinfo=UTC),
                run_type=_run_type(run_type),
                triggered_by=_triggered_by(),
                state=state,
                start_date=datetime(2026, 1, 6, tzinfo=UTC),
                session=session,
            )
            session.flush()
            for instance in run.get_task_instances(session=session):
                instance.state = states[TASKS.index(instance.task_id)]
                instance.try_number = int(instance.state in RAN)
                instance.dag_version_id = version.id


def snapshot() -> dict[str, Any]:
    """What there is now, by `run` and `run.task`."""
    from airflow.models import DagRun, TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        runs = {run.run_id: [str(run.state), run.clear_number] for run in session.scalars(select(DagRun))}
        instances = {
            f"{one.run_id}.{one.task_id}": [one.state and str(one.state), one.max_tries]
            for one in session.scalars(select(TaskInstance))
        }
    return dict(sorted({**runs, **instances}.items()))


def _dag(session: Any) -> Any:
    from airflow.models.serialized_dag import SerializedDagModel

    return session.scalar(SerializedDagModel.latest_item_select_object("truth")).dag


def _run_type(name: str) -> Any:
    from airflow.utils.types import DagRunType

    return DagRunType(name)


def _triggered_by() -> Any:
    from airflow.utils.types import DagRunTriggeredByType

    return DagRunTriggeredByType.TEST


if __name__ == "__main__":
    main()
