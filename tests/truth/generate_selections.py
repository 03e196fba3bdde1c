"""Ask Airflow 3.2.2's own API which instances clearing and marking select in DAGs with maps, setups and teardowns.

Run in an environment of its own with `apache-airflow==3.2.2`, in an empty AIRFLOW_HOME; the output is committed:

    AIRFLOW_HOME=$(mktemp -d) python tests/truth/generate_selections.py tests/truth/selections.json

The DAGs are those of `dags/selections.py`; the output begins with their shapes: per task its direct downstream tasks,
its group, whether it is a setup or teardown, the length of its map. Every DAG has two runs, all of whose instances are
failed. A row is `[DAG, request, status, instances]`: what a dry run lists, or, of a change, `{instance: new state}`.
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
RUNS = {"one": datetime(2026, 1, 1, tzinfo=UTC), "two": datetime(2026, 1, 2, tzinfo=UTC)}
WAYS: list[dict[str, bool]] = [
    {},
    {"include_upstream": True},
    {"include_downstream": True},
    {"include_upstream": True, "include_downstream": True},
]
Request = tuple[str, str, dict[str, Any]]


def requests(shape: dict[str, Any]) -> list[Request]:
    """Every request about one DAG: method, path below the DAG, body."""
    names = sorted(shape)
    markers: list[Any] = [*names, *([name, 1] for name in names if shape[name]["length"])]
    found: list[Request] = []
    clear = {"dry_run": True, "only_failed": False}
    sets = [[one] for one in markers]
    sets += [[one, other] for one, other in zip(markers, markers[3:], strict=False)]
    for marked, way in itertools.product(sets, WAYS):
        found.append(("POST", "clearTaskInstances", {**clear, **way, "dag_run_id": "one", "task_ids": marked}))
        if len(marked) == 1:
            found.append(("POST", "clearTaskInstances", {**clear, **way, "task_ids": marked}))
    for marked in sets[:: max(1, len(sets) // 6)]:
        body = {**clear, "include_downstream": True, "dag_run_id": "one", "include_future": True}
        found.append(("POST", "clearTaskInstances", {**body, "task_ids": marked}))
        found.append(("POST", "clearTaskInstances", {**body, "task_ids": marked, "dry_run": False}))
    for marker, way in itertools.product(markers, WAYS):
        path = f"dagRuns/one/taskInstances/{marker if isinstance(marker, str) else '/'.join(map(str, marker))}"
        found.append(("PATCH", f"{path}/dry_run", {"new_state": "success", **way}))
        if len(way) < 2:
            found.append(("PATCH", path, {"new_state": "success", **way}))
    return found


def shape_of(dag: Any) -> dict[str, Any]:
    """What there is to know of a DAG's tasks."""
    return {
        one.task_id: {
            "downstream": sorted(one.downstream_task_ids),
            "group": one.task_group.group_id if one.task_group else None,
            "is_setup": one.is_setup,
            "is_teardown": one.is_teardown,
            "is_mapped": one.is_mapped,
            "length": _length(one),
        }
        for one in dag.tasks
    }


def groups_of(dag: Any) -> dict[str, Any]:
    """The groups: their parent, and the length of a map."""
    found = dag.task_group.get_task_group_dict()
    return {
        name: {"parent": one.parent_group.group_id, "length": _own_length(one)} for name, one in found.items() if name
    }


def _length(one: Any) -> int | None:
    return one.get_parse_time_mapped_ti_count() if one.get_needs_expansion() else None


def _own_length(group: Any) -> int | None:
    mapped = type(group).__name__.endswith("MappedTaskGroup")
    return group._expand_input.get_parse_time_mapped_ti_count() if mapped else None


def main() -> None:
    """Write the shapes and all rows, one per line."""
    (HOME / "dags").mkdir(exist_ok=True)
    source = Path(__file__).resolve().parent / "dags" / "selections.py"
    (HOME / "dags" / "selections.py").write_text(source.read_text())
    airflow = [sys.executable, "-m", "airflow"]
    subprocess.run([*airflow, "db", "migrate"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*airflow, "dags", "reserialize"], check=True, stdout=subprocess.DEVNULL)

    from airflow.api_fastapi.app import create_app
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from fastapi.testclient import TestClient

    shapes, rows = {}, []
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {client.get('/auth/token').json()['access_token']}"
        for dag_id in ("mapped", "nested_maps", "scopes", "nested_scopes", "mapped_scopes"):
            with create_session() as session:
                dag = session.scalar(SerializedDagModel.latest_item_select_object(dag_id)).dag
            shapes[dag_id] = {"tasks": shape_of(dag), "groups": groups_of(dag)}
            reset(dag_id, dag)
            before = snapshot(dag_id)
            for method, path, body in requests(shapes[dag_id]["tasks"]):
                answer = client.request(method, f"/api/v2/dags/{dag_id}/{path}", json=body)
                after = snapshot(dag_id)
                changed = {key: after[key] for key in before if before[key] != after[key]}
                found: Any = changed
                if answer.status_code == 500:
                    found = None
                    sys.stderr.write(f"Airflow fails: {dag_id} {method} {path} {body}\n")
                elif body.get("dry_run") or path.endswith("dry_run"):
                    assert not changed
                    found = sorted(_name(one) for one in answer.json().get("task_instances", ()))
                rows.append([dag_id, [method, path, body], answer.status_code, found])
                if changed:
                    reset(dag_id, dag)
    head = f'"shapes": {json.dumps(shapes)},\n"rows": [\n'
    Path(sys.argv[1]).write_text("{" + head + ",\n".join(json.dumps(row) for row in rows) + "\n]}\n")


def reset(dag_id: str, dag: Any) -> None:
    """Make the two runs anew, everything in them failed."""
    from airflow.models import DagRun, TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import delete

    with create_session() as session:
        for model in (TaskInstanceHistory, TaskInstance, DagRun):
            session.execute(delete(model).where(model.dag_id == dag_id))
        session.flush()
        for run_id, moment in RUNS.items():
            run = dag.create_dagrun(
                run_id=run_id,
                logical_date=moment,
                data_interval=(moment, moment),
                run_after=moment,
                run_type=DagRunType.SCHEDULED,
                triggered_by=DagRunTriggeredByType.TEST,
                state="failed",
                session=session,
            )
            session.flush()
            for instance in run.get_task_instances(session=session):
                instance.state = "failed"
                instance.try_number = 1


def snapshot(dag_id: str) -> dict[str, str | None]:
    """The states now, by `run.task[map index]`."""
    from airflow.models import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.execute(
            select(TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state).where(
                TaskInstance.dag_id == dag_id
            )
        ).all()
    states = {f"{run}.{name}[{index}]": state and str(state) for run, name, index, state in found}
    return dict(sorted(states.items()))


def _name(one: dict[str, Any]) -> str:
    return f"{one['dag_run_id']}.{one['task_id']}[{one['map_index']}]"


if __name__ == "__main__":
    main()
